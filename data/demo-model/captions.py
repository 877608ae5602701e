# SPDX-License-Identifier: Apache-2.0
"""What people type, and the scene it means: objects, colours, layouts and the sentences of both languages.

A scene is (layout, object numbers, background number or -1). The same sentence always means the same
scene, so the picture of a sentence is fixed, which is what keeps 8 steps without guidance sharp.
`Captions` samples sentences for training; `measure_prompts` makes the fixed, held-out ones.
"""
import json
import os
import random

HERE = os.path.dirname(os.path.abspath(__file__))

# (English names, Chinese names, RGB)
COLOURS = [
    (["white"], ["白色"], (245, 245, 245)),
    (["red"], ["红色"], (214, 64, 60)),
    (["orange"], ["橙色"], (240, 150, 60)),
    (["yellow"], ["黄色"], (246, 212, 84)),
    (["green"], ["绿色"], (98, 178, 96)),
    (["mint", "mint green"], ["薄荷色", "薄荷绿"], (180, 226, 204)),
    (["teal"], ["青色"], (60, 158, 160)),
    (["blue"], ["蓝色"], (74, 122, 212)),
    (["sky blue", "light blue"], ["天蓝色", "浅蓝色"], (160, 206, 240)),
    (["purple", "violet"], ["紫色"], (140, 96, 190)),
    (["pink"], ["粉色", "粉红色"], (246, 182, 204)),
    (["brown"], ["棕色", "褐色"], (140, 98, 70)),
    (["gray", "grey"], ["灰色"], (150, 152, 158)),
    (["black"], ["黑色"], (30, 30, 36)),
    (["navy", "navy blue", "dark blue"], ["深蓝色", "藏青色"], (34, 48, 96)),
]
DEFAULT_RGB = (232, 238, 246)

# layout: per object centre x, centre y (both -1..1) and scale
LAYOUTS = [
    [(0, 0, .84)],
    [(-.48, 0, .50), (.48, 0, .50)],
    [(0, -.48, .50), (0, .48, .50)],
    [(-.64, 0, .34), (0, 0, .34), (.64, 0, .34)],
]
SINGLE, LEFT_RIGHT, TOP_BOTTOM, ROW = range(4)

# {a} = with article, {n} = bare name. The measure's own templates are in measure_prompts().
EN_ONE = ["view of {a}", "sketch of {a}", "{a} for my kid", "can i have {a}?", "do you have {a}", "what does {a} look like", "we need {a}", "another {n}", "something like {a}", "find me {a}", "my favorite {n}", "artwork of {a}", "a model of {a}", "that is {a}", "these are {n}", "a figure of {a}", "it should be {a}", "imagine {a}", "depict {a}", "a graphic of {a}", "i wish to have {a}", "cartoon {n}", "a {n} design", "paint {a}", "visualize the {n}", "a scene with {a}", "do {a}",
          "{n}", "{n}", "{n}", "{a}", "{a}", "{a}", "the {n}", "one {n}", "picture of {a}", "a picture of {a}",
          "a photo of {a}", "photo of {n}", "an image of {a}", "image of the {n}", "3d render of {a}", "a 3d icon of {a}",
          "{n} icon", "{n} emoji", "{a} emoji", "a drawing of {a}", "draw {a}", "please draw {a}", "i want {a}",
          "i would like a picture of {a}", "generate {a}", "make {a}", "create an image of {a}", "give me {a}",
          "there is {a}", "it is {a}", "just {a}", "a single {n}", "only {a}", "{a} in the middle", "{n} in the center",
          "a realistic {n}", "a {n} in 3d", "{n} sticker", "my {n}", "close up of {a}", "render {a}", "some {n}",
          "can you draw {a}?", "here is {a}", "look at the {n}", "a render of {a}", "a nice photo of the {n}"]
ZH_ONE = ["我想画{n}", "能不能给我{n}", "{n}长什么样", "我喜欢{n}", "弄一{m}{n}", "给我画{n}", "请帮我做{n}", "图中有一{m}{n}", "看看{n}", "我需要一{m}{n}", "那是{n}", "这就是一{m}{n}", "想象一{m}{n}", "找一{m}{n}", "请做一{m}{n}", "图里有{n}", "{n}的模型", "{n}设计", "可以画{n}吗?", "能给我一{m}{n}吗?", "创建{n}", "显示{n}", "{n}的素描", "能做{n}吗", "我的{n}", "{n}图案", "请来一{m}{n}", "应该是{n}", "想要看到{n}",
          "{n}", "{n}", "{n}", "一{m}{n}", "一{m}{n}", "{n}的图片", "{n}的照片", "一张{n}的图片", "一张{n}的照片", "画一{m}{n}",
          "请画一{m}{n}", "请画{n}", "帮我画一{m}{n}", "我想要一{m}{n}", "我要{n}", "生成一{m}{n}", "生成{n}的图片", "{n}图标",
          "{n}表情", "3D{n}", "三维{n}", "中间是一{m}{n}", "中间有{n}", "有一{m}{n}", "这里有一{m}{n}", "给我一{m}{n}", "只有{n}",
          "一幅{n}的画", "一个{n}的图标", "{n}的三维渲染", "画{n}", "来一{m}{n}", "真实的{n}", "{n}特写"]
EN_LR = ["there is {a} on the left and {b} on the right", "left side {an}, right side {bn}", "put {an} on the left and {bn} on the right", "the left thing is {a}, the right thing is {b}", "{an} at left, {bn} at right", "right: {bn}, left: {an}", "{a} on the left side and {b} on the right side",
          "{a} and {b}", "{a} and {b}", "{an} and {bn}", "{a} next to {b}", "{a} beside {b}", "{a} with {b}", "{an}, {bn}", "{an} {bn}",
         "{an} on the left and {bn} on the right", "{a} on the left and {b} on the right", "{a} on the left, {b} on the right",
         "left: {an}, right: {bn}", "{b} on the right and {a} on the left", "{bn} on the right, {an} on the left",
         "{a} to the left of {b}", "{an} left of {bn}", "{b} to the right of {a}", "{bn} right of {an}",
         "on the left {a}, on the right {b}", "on the right {b} and on the left {a}", "the {an} is left of the {bn}",
         "the {an} and the {bn}", "a picture of {a} and {b}", "a photo of {a} next to {b}", "draw {a} and {b}",
         "left {an} right {bn}", "the left is {a}, the right is {b}", "{a} together with {b}", "{a} on the left of {b}",
         "{b} on the right of {a}", "the {an} on the left and the {bn} on the right"]
ZH_LR = ["左边画{an},右边画{bn}", "{an}放在左边,{bn}放在右边", "图的左边是{an},右边是{bn}", "右边是一{bm}{bn},左边是一{am}{an}", "左边要{an},右边要{bn}", "右边有{bn},左边有{an}", "画面左侧是{an},右侧是{bn}",
          "{an}和{bn}", "{an}和{bn}", "一{am}{an}和一{bm}{bn}", "{an}与{bn}", "{an}、{bn}", "{an},{bn}", "{an} {bn}",
         "左边是{an},右边是{bn}", "左边是一{am}{an},右边是一{bm}{bn}", "左边{an}右边{bn}", "{an}在左边,{bn}在右边", "{an}在左,{bn}在右",
         "右边是{bn},左边是{an}", "{bn}在右边,{an}在左边", "{an}在{bn}的左边", "{bn}在{an}的右边", "{an}在{bn}左边", "{bn}在{an}右边",
         "{an}旁边是{bn}", "{an}跟{bn}", "画{an}和{bn}", "{an}和{bn}的图片", "左侧是{an},右侧是{bn}", "左边有{an},右边有{bn}",
         "左面是{an},右面是{bn}", "一张{an}和{bn}的照片"]
EN_TB = ["{a} is above {b}", "draw {b} below {a}", "there is {a} above {b}", "{an} up, {bn} down", "place {a} over {b}", "{b} is under {a}", "{a} at the top, {b} at the bottom", "put {b} under {a}",
          "{a} above {b}", "{a} above {b}", "{an} above {bn}", "{a} on top of {b}", "{a} over {b}", "{an} on top, {bn} at the bottom",
         "{a} on top and {b} below", "{an} on top and {bn} on the bottom", "{b} below {a}", "{b} under {a}", "{bn} below {an}",
         "{b} beneath {a}", "{b} at the bottom and {a} at the top", "{bn} at the bottom, {an} on top", "top: {an}, bottom: {bn}",
         "the {an} is above the {bn}", "the {bn} is below the {an}", "a picture of {a} above {b}", "{a} at the top and {b} at the bottom",
         "top {an} bottom {bn}", "draw {a} above {b}", "the {bn} is under the {an}", "bottom: {bn}, top: {an}"]
ZH_TB = ["上面画{an},下面画{bn}", "{an}放在上面,{bn}放在下面", "图的上面是{an},下面是{bn}", "上面要{an},下面要{bn}", "下面有{bn},上面有{an}", "把{an}放在{bn}上面", "画面上方是{an},下方是{bn}",
          "上面是{an},下面是{bn}", "上面是一{am}{an},下面是一{bm}{bn}", "上边是{an},下边是{bn}", "{an}在上面,{bn}在下面", "{an}在上,{bn}在下",
         "{an}在{bn}上面", "{an}在{bn}的上面", "{bn}在{an}下面", "{bn}在{an}的下面", "下面是{bn},上面是{an}", "{bn}在下面,{an}在上面",
         "上面{an}下面{bn}", "{an}在{bn}上方", "{bn}在{an}下方", "上方是{an},下方是{bn}", "上面有{an},下面有{bn}", "画{an}在{bn}上面"]
EN_ROW = ["{an}, {bn} and {cn}", "{a}, {b} and {c}", "{a}, {b}, {c}", "{an}, {bn}, {cn}", "{a} and {b} and {c}",
          "{b} between {a} and {c}", "{bn} between {an} and {cn}", "the {bn} is between the {an} and the {cn}",
          "{an} on the left, {bn} in the middle and {cn} on the right", "{an} on the left, {bn} in the middle, {cn} on the right",
          "left {an}, middle {bn}, right {cn}", "{a}, {b}, and {c}", "{b} in the middle, {a} on the left, {c} on the right",
          "{an} {bn} {cn}", "{b} in between {a} and {c}", "{a} next to {b} next to {c}"]
ZH_ROW = ["{an}、{bn}和{cn}", "{an}、{bn}、{cn}", "{an},{bn}和{cn}", "{an}和{bn}和{cn}", "{bn}在{an}和{cn}中间", "{bn}在{an}和{cn}之间",
          "左边是{an},中间是{bn},右边是{cn}", "左边{an}中间{bn}右边{cn}", "一{am}{an}、一{bm}{bn}和一{cm}{cn}", "{an},{bn},{cn}",
          "{an}在左边,{bn}在中间,{cn}在右边", "中间是{bn},左边是{an},右边是{cn}", "{an} {bn} {cn}"]
EN_BG = ["{s}, colour of the background: {k}", "{s} with {k} as a backdrop", "{s}, the background colour is {k}", "{s}, the background has {k} colour",
         "{s} and a {k} background", "{s} with {k} behind it", "make the background {k}: {s}", "background: {k}, {s}", "the background should be {k}, {s}", "{s}; {k} background", "{s}, use {k} for the background", "{s}; the background must be {k}", "{s} with the background in {k}", "{s}, color of the background: {k}", "{s} in front of {k}", "{s} with a plain {k} backdrop", "{s} - {k} background", "{s} where the background is {k}", "using a {k} background, {s}",
          "{s} on a {k} background", "{s} on a {k} background", "{s}, {k} background", "{s}, {k} background", "{s} on {k} background",
         "{s} with a {k} background", "{s} against a {k} background", "{s} on {k}", "{s} in front of a {k} background",
         "{s}, background {k}", "{s}. {k} background", "{s}, the background is {k}", "on a {k} background: {s}", "{k} background, {s}",
         "{s} {k} background", "{s} on the {k} background", "{s} over a plain {k} background", "{s}, {k} backdrop"]
ZH_BG = ["{s},用{k}做背景", "{s},背景要{k}", "背景选{k},{s}", "{s},背景色{k}", "底色是{k},{s}", "把背景设成{k},{s}", "{s},背景色是{k}", "用{k}当背景,{s}", "{s},{k}为背景", "在{k}的背景上,{s}", "{s},背景换成{k}", "背景请用{k}的,{s}", "背景要{k},画{s}", "背景是{k}的{s}",
          "{s},{k}背景", "{s},{k}背景", "{k}背景上的{s}", "{k}背景的{s}", "{s},背景是{k}", "{k}背景,{s}", "{s} {k}背景", "{s}在{k}背景上",
         "背景是{k},{s}", "{s}、{k}背景", "{s},{k}的背景", "{k}背景下的{s}", "{s}配{k}背景", "{s},背景为{k}"]
EN_ADJ = ["cute", "little", "big", "nice", "beautiful", "small", "lovely", "shiny", "pretty", "cool", "funny", "tiny", "large", "simple",
          "great", "colorful", "glossy", "adorable", "new", "good"]
ZH_ADJ = ["可爱的", "漂亮的", "好看的", "美丽的", "精致的", "有趣的", "立体的", "简单的", "很大的", "小小的", "完美的", "好玩的"]
EN_FILL = ["high quality", "best quality", "3d render", "3d style", "soft light", "studio light", "very detailed", "highly detailed", "8k", "4k",
           "digital art", "cartoon style", "minimal", "centered", "clean", "smooth", "cute style", "isolated", "octane render", "sharp focus",
           "product shot", "professional", "thanks", "plastic look", "simple design", "no text", "masterpiece", "trending", "hd", "emoji style",
           "glossy finish", "macro shot", "vivid", "in the style of an emoji", "for my website", "with soft shadows", "as an icon"]
ZH_FILL = ["高清", "高质量", "三维渲染", "3D风格", "柔和的光线", "细节丰富", "卡通风格", "简约", "居中", "干净", "可爱风格", "谢谢", "大师作品", "精美",
           "数字艺术", "最佳质量", "表情风格", "光滑质感", "没有文字", "专业", "清晰", "写实", "超高清", "图标风格"]
EN_WORDS = ("about actual all also always any around art bright called classic common day design detail different dream each edition "
            "every example fine first form free fresh friendly full further game general gentle happy have hello here high idea item "
            "kind large last like long look lot made main many maybe model modern more much name need next normal object old other our "
            "own part perfect place plain popular quick quite real really right scene see shape should side simply soft "
            "something sort special standard still style such sure sweet take test that their them then these they thing this those "
            "time today try type usual very view want warm way well what when where which while who will with word work would "
            "yes you your kindly let us now at from by for in to of is as be it that was were has had do does did").split()
EN_WORDS = [w for w in EN_WORDS if "?" not in w]
ZH_CHARS = "的了不我有他这来国到说们为你地道也时年得就那要以会自着去之过对可她么多然于心学而好都同现当没动起还发成事只如前所本部第样情己最新法理性把间向正外将两高长信战实加量政它通位制"
ZH_WORDS = ("一些 东西 什么 今天 现在 我们 大家 他们 你好 请问 可以 能不能 需要 想要 喜欢 非常 特别 这种 那种 某个 普通 典型 常见 经典 新的 旧的 "
            "风格 样子 场景 物体 作品 设计 创意 世界 生活 美好 如果 因为 然后 已经 还是 或者 关于 对于 就是 这样 那个 哪个 多么 真的 确实 当然").split()

WIDE = {ord(","): 0xff0c, ord("!"): 0xff01, ord("?"): 0xff1f, ord(":"): 0xff1a}
PUNCT_EN = ["", "", "", "", "", ".", ".", "!", " ", ",", "?", "..", " .", "!!"]
PUNCT_ZH = ["", "", "", "", "", "。", "。", "!", "!", " ", ",", ".", "?", "~"]


def load_objects(path=os.path.join(HERE, "objects.json")):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def article(name):
    if name.split()[0] in ("french", "cherries", "socks", "gloves", "jeans", "glasses", "sunglasses"):
        return name
    return ("an " if name[0] in "aeiou" and not name.startswith(("unicorn", "ufo", "eu")) else "a ") + name


class Captions:
    """Samples a sentence for a scene; never returns one of `forbidden`."""

    def __init__(self, objects, seed, forbidden=()):
        self.objects, self.rng, self.forbidden = objects, random.Random(seed), {canonical(s) for s in forbidden}

    def name(self, i, lang):
        names, r = self.objects[i][lang], self.rng
        return names[0] if r.random() < .5 else r.choice(names)

    def fields(self, ids, lang):
        f, r = {}, self.rng
        for key, i in zip("abc", ids):
            n = self.name(i, lang)
            adj = r.random() < .07
            if lang == "en":
                if r.random() < .03 and not n.endswith("s"):
                    n += "s"
                if adj:
                    n = r.choice(EN_ADJ) + " " + n
                f[key], f[key + "n"] = article(n), n
            else:
                if adj:
                    n = r.choice(ZH_ADJ) + n
                f[key + "n"], f[key + "m"] = n, r.choice("个个只张把条台辆朵杯")
        return f

    def sentence(self, layout, ids, bg, lang=None, fill=None):
        r = self.rng
        lang = lang or ("en" if r.random() < .52 else "zh")
        en = lang == "en"
        while True:
            f = self.fields(ids, lang)
            if layout == SINGLE:
                f["n"], f["m"] = f["an"], f.get("am", "")
                t = r.choice(EN_ONE if en else ZH_ONE)
            else:
                t = r.choice([None, (EN_LR, ZH_LR), (EN_TB, ZH_TB), (EN_ROW, ZH_ROW)][layout][0 if en else 1])
            s = t.format(**f)
            if bg >= 0:
                k = r.choice(COLOURS[bg][0 if en else 1])
                s = r.choice(EN_BG if en else ZH_BG).format(s=s, k=k)
                if en:
                    s = s.replace("a orange", "an orange")
            s = self.dress(s, en, fill)
            if canonical(s) not in self.forbidden:
                return s

    def dress(self, s, en, fill):
        """Case, punctuation, filler words before and after, as people add them."""
        r = self.rng
        u = r.random()
        n_fill = fill if fill is not None else (0 if u < .80 else 1 if u < .92 else 2)
        sep = (lambda: r.choice([", ", ", ", " ", ". "])) if en else (lambda: r.choice([",", ",", "。", " ", "、"]))
        for _ in range(n_fill):
            x = r.choice(EN_FILL if en else ZH_FILL)
            s = s + sep() + x if r.random() < .75 else x + sep() + s
        if r.random() < (.25 if fill is None else .3):
            # words that mean nothing here: the names must be found among whatever else is written
            words = [r.choice(EN_WORDS if en else ZH_WORDS) for _ in range(r.randint(1, 3))]
            if r.random() < .35:
                letters = "abcdefghijklmnoprstuvwy" if en or r.random() < .2 else ZH_CHARS
                words = ["".join(r.choice(letters) for _ in range(r.randint(2, 6) if letters is not ZH_CHARS else r.randint(1, 4)))]
            x = (" " if en else "").join(words)
            gap = " " if en else ""
            s = x + gap + s if r.random() < .7 else s + (gap if en else ",") + x
        s += r.choice(PUNCT_EN if en else PUNCT_ZH)
        if not en:
            if r.random() < .6:
                s = s.translate(WIDE)
            elif r.random() < .3:
                s = s.replace(",", ", ")
        u = r.random()
        if en:
            s = s if u < .66 else s[0].upper() + s[1:] if u < .85 else s.title() if u < .91 else s.upper()
        if r.random() < .02:
            s = " " + s
        return s


def canonical(s):
    s = s.translate({v: chr(k) for k, v in WIDE.items()}).replace("\u3002", ".")
    return s.strip().lower().rstrip(".!,? ")


# ------------------------------------------------------------------ the measure
# Templates and forms below appear nowhere above.
M_EN_ONE = ["show me {a}", "an illustration of {a}", "this is {a}", "could you paint {a} for me?", "{a}, please", "What about {a}?",
            "a lovely rendering of {a}", "SHOW {N}", "I'd love to see the {n}", "a portrait of {a}"]
M_ZH_ONE = ["请给我看{n}", "一张{n}的插画", "这是{n}", "能画出{n}吗?", "我想看{n}", "这张图里是{n}", "展示{n}", "{n}的样子是怎样的", "麻烦画个{n}"]
M_EN_LR = ["{a} at the left side and {b} at the right side", "on the left there is {a} and on the right there is {b}",
           "show {an} left and {bn} right", "the right one is {b}, the left one is {a}"]
M_ZH_LR = ["画面左边是{an},画面右边是{bn}", "左边放{an},右边放{bn}", "{an}位于左边,{bn}位于右边", "右边放{bn},左边放{an}"]
M_EN_TB = ["put {a} above {b}", "{a} is at the top, {b} is at the bottom", "show {b} below {a}"]
M_ZH_TB = ["画面上面是{an},下面是{bn}", "上面放{an},下面放{bn}", "{an}位于{bn}的上面"]
M_EN_BG = ["show me {a} on a plain {k} background", "{a}; background colour: {k}", "paint {a} with {k} as the background"]
M_ZH_BG = ["请给我看{k}背景上的{n}", "这是{n},背景颜色是{k}", "背景用{k},展示{n}"]


def measure_prompts(objects, seed=20251122):
    """The fixed prompts: 240 of one object (half Chinese), 120 of two with positions, 120 of a background colour."""
    r, out = random.Random(seed), []
    order = list(range(len(objects)))
    r.shuffle(order)

    def add(kind, lang, template, layout, ids, bg):
        f = {}
        for key, i in zip("ab", ids):
            n = r.choice(objects[i][lang])
            f[key + "n"], f["n" if key == "a" else "_"] = n, n
            if lang == "en":
                f[key] = article(n)
                if key == "a":
                    f["N"] = n.upper()
        if bg >= 0:
            f["k"] = r.choice(COLOURS[bg][0 if lang == "en" else 1])
        out.append({"kind": kind, "lang": lang, "prompt": template.format(**f), "layout": layout, "objects": ids, "background": bg})

    for k in range(240):
        lang = "en" if k % 2 == 0 else "zh"
        t = M_EN_ONE if lang == "en" else M_ZH_ONE
        add("one", lang, t[k // 2 % len(t)], SINGLE, [order[k % len(order)]], -1)
    for k in range(120):
        lang, tb = ("en", "zh")[k % 2], k % 4 >= 2
        t = (M_EN_TB if tb else M_EN_LR) if lang == "en" else (M_ZH_TB if tb else M_ZH_LR)
        add("two", lang, t[k // 4 % len(t)], TOP_BOTTOM if tb else LEFT_RIGHT, r.sample(order, 2), -1)
    for k in range(120):
        lang = ("en", "zh")[k % 2]
        t = M_EN_BG if lang == "en" else M_ZH_BG
        add("background", lang, t[k // 2 % len(t)], SINGLE, [r.choice(order)], k // 2 % len(COLOURS))
    return out


if __name__ == "__main__":
    objects = load_objects()
    prompts = measure_prompts(objects)
    with open(os.path.join(HERE, "measure-prompts.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(" " + json.dumps(p, ensure_ascii=False) for p in prompts) + "\n]\n")
    c = Captions(objects, 1, [p["prompt"] for p in prompts])
    r = random.Random(5)
    for _ in range(40):
        layout = r.choice([0, 0, 0, 1, 2, 3])
        print(c.sentence(layout, [r.randrange(len(objects)) for _ in LAYOUTS[layout]], r.choice([-1, r.randrange(15)])))
