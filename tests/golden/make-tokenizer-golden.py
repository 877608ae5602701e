#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes strings and what the reference tokenizer makes of them, for tests/unit/test-tokenizer.c.

usage: make-tokenizer-golden.py TOKENIZER_JSON OUT.gz            the file in tests/data
       make-tokenizer-golden.py TOKENIZER_JSON OUT.gz --all      every code point in several surroundings, to be run by hand:
                                                                 ZIE_TOKENIZER_GOLDEN=OUT.gz test-tokenizer -p /tokenizer/golden

A line is: the number of ids, 32 bits of FNV-1a over the ids (each as four bytes, little-endian) in hexadecimal, and the
string, in which bytes below 0x20, the backslash and bytes that are not UTF-8 stand as \\xHH.  Lines that begin with # say what
wrote the file.  Strings with bytes that are not UTF-8 are given to the reference after Python's errors="replace".
"""
import argparse
import gzip
import random
import unicodedata

import tokenizers

CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'lL", "'D", "'\u017f", "'\u017fs",
                "'x", "''s", "'r", "'l", "\u2019s", "'\u212a"]
SPACES = ["\t", "\n", "\v", "\f", "\r", " ", "\x85", "\xa0", "\u1680", *map(chr, range(0x2000, 0x200b)), "\u2028", "\u2029",
          "\u202f", "\u205f", "\u3000"]
NOT_SPACES = ["\u180e", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\x1c", "\x1d", "\x1e", "\x1f", "\x00"]
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
         "<|quad_end|>", "<|vision_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<tool_response>", "<think>",
         "</think>", "<|file_sep|>", "<|im_end", "<|im_end|", "<|IM_END|>", "<think", "< think>", "<|", "|>", "</"]
ENGLISH = """a photo of the red fox in deep snow at dawn cinematic light 4k highly detailed portrait young woman wearing blue
dress standing under cherry blossom trees oil painting style by candlelight macro shot dew drops on leaf bokeh background an
astronaut riding horse mars product photography glass bottle studio lighting watercolor sketch old town street rain neon signs
reflections it's don't we're I'll they've you'd UPPERCASE MixedCase snake_case kebab-case e.g. etc. 3.14 1,000,000 50mm f/1.8
ISO-100 16:9 #hashtag @name https://example.org/path?x=1&y=2 C++ (parentheses) [brackets] {braces} "quotes" 100% $5.00""".split()
WORDS = {
    "chinese": "一只红色的狐狸在雪地里黎明电影般的光线高清人像年轻女子穿着蓝色连衣裙站在樱花树下油画风格微距叶子上的露珠宇航员骑马火星产品摄影玻璃瓶水彩素描老城街道雨霓虹灯倒影繁體中文圖像生成，。！？「」『』（）《》、；：…—",
    "japanese": "雪の中の赤いキツネ、夜明けの映画のような光。ポートレート青いドレスを着た若い女性が桜の木の下に立っているﾊﾝｶｸｶﾅ々ゝゞーがぎぐげござじずぜぞパピプペポ",
    "korean": "눈 속의 빨간 여우 새벽 영화 같은 빛 파란 드레스를 입은 젊은 여성이 벚꽃 나무 아래에 서 있다 한국어 문장",
    "arabic": "صورة لثعلب أحمر في الثلج العميق عند الفجر ضوء سينمائي مُشَكَّل ٠١٢٣٤٥ لا إله ؟ ،",
    "hebrew": "תמונה של שועל אדום בשלג עמוק שָׁלוֹם בְּרֵאשִׁית",
    "devanagari": "गहरी बर्फ में लाल लोमड़ी की तस्वीर नमस्ते क़ ख़ ग़ ज़ ड़ ढ़ फ़ य़ १२३ क्षत्रिय",
    "bengali": "গভীর তুষারে লাল শিয়ালের ছবি ড় ঢ় য় ১২৩ বাংলা",
    "tamil": "ஆழ்ந்த பனியில் சிவப்பு நரியின் படம் கொ கோ கௌ",
    "thai": "ภาพถ่ายจิ้งจอกแดงในหิมะลึกยามรุ่งสาง สวัสดี ๑๒๓ กำ น้ำ",
    "tibetan": "གངས་ཀྱི་ནང་དུ་ཝ་མོ་དམར་པོ། ཀྵ གྷ",
    "burmese": "နှင်းထဲမှာ မြေခွေးနီ ဦ",
    "khmer": "រូបថតកញ្ជ្រោងក្រហមក្នុងព្រិល",
    "cyrillic": "фотография рыжей лисы в глубоком снегу на рассвете Ёлка йод їжак ў Ѐ Ѝ",
    "greek": "φωτογραφία κόκκινης αλεπούς στο βαθύ χιόνι Άέήίόύώ ΐΰ ᾳ ᾼ ῷ ς σ",
    "vietnamese": "bức ảnh con cáo đỏ trong tuyết sâu lúc bình minh Tiếng Việt ở ữ ậ ễ ợ",
    "turkish": "kırmızı tilkinin İstanbul'da fotoğrafı ğüşöçıĞÜŞÖÇİ",
    "georgian": "წითელი მელას ფოტო ᲬᲘᲗᲔᲚᲘ",
    "armenian": "կարմիր աղվեսի լուսանկար և",
    "ethiopic": "የቀይ ቀበሮ ፎቶ ፩፪፫",
    "mongolian": "ᠤᠯᠠᠭᠠᠨ ᠦᠨᠡᠭᠡ ᠶᠢᠨ ᠵᠢᠷᠤᠭ",
}
EMOJI = ["😀", "👩‍👩‍👧", "👨🏽‍💻", "⚡️", "🏳️‍🌈", "🇨🇳", "🇩🇪", "1️⃣", "❤️", "🤷🏻‍♀️", "🦊", "🍎", "🧑‍🚀", "☺", "☺️", "🫠", "🪿", "👁️‍🗨️", "#️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"]
BROKEN = [b"\xff", b"\xfe", b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc3", b"\xe4\xb8", b"\xe4", b"\xf0\x9f\x98", b"\xf0\x9f",
          b"\xf0", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80",
          b"\xc3(", b"\xe4\xb8(", b"\xf0\x9f<|im_end|>"]
# Marks of many classes, in the order of no class; composing and not composing ones.
MARKS = [chr(c) for c in (0x301, 0x300, 0x302, 0x303, 0x304, 0x306, 0x307, 0x308, 0x30a, 0x30c, 0x323, 0x327, 0x328, 0x331, 0x334,
                          0x338, 0x345, 0x31b, 0x35c, 0x5b0, 0x5bc, 0x5c1, 0x64b, 0x651, 0x670, 0x93c, 0x94d, 0x9cd, 0xe38, 0xe48,
                          0x1dfa, 0x20d0, 0x302a, 0x3099, 0x309a, 0x1d165, 0x11930, 0x110ba)]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def some(self, items, low, high, joint=""):
        return joint.join(self.random.choice(items) for _ in range(self.random.randint(low, high)))

    def english(self):
        joint = self.random.choice([" ", " ", " ", ", ", "  ", "\n", "-", "", " \t"])
        text = self.some(ENGLISH, 1, 14, joint)
        return self.random.choice([text, text.upper(), text.capitalize(), " " + text, text + " "])

    def language(self):
        letters = self.random.choice(list(WORDS.values()))
        at = self.random.randrange(len(letters))
        text = letters[at:at + self.random.randint(1, 30)]
        return unicodedata.normalize(self.random.choice(["NFC", "NFD", "NFC", "NFKD"]), text)

    def emoji(self):
        return self.some(EMOJI, 1, 5, self.random.choice(["", " ", ""]))

    def marks(self):
        base = "aeiouAEIOUncsgzyk\u212b\u2126\u00e5\u1ea1\u0438\u0418\u03b1\u03c9\u05e9\u05d1\u0627\u0915\u304b\u30cf\u1100\u1161\u11a8\uac00\u0344\u0958\u2adc"
        return "".join(self.random.choice(base) + self.some(MARKS, 0, 4) for _ in range(self.random.randint(1, 6)))

    def spaces(self):
        parts = SPACES * 2 + NOT_SPACES + ["a", "b ", "字", "1", ".", "'s", "\n", "\r\n", " ", "  "]
        return self.some(parts, 1, 10)

    def controls(self):
        return self.some([chr(c) for c in range(32)] + [chr(c) for c in range(0x7f, 0xa0)] + ["a", " ", "é", "\ufffe"], 1, 8)

    def digits(self):
        return self.some(list("0123456789") * 2 + [".", ",", "e", "-", " ", "½", "²", "Ⅷ", "①", "٣", "१", "〇", "三", "𝟘", "x", "%"], 1, 16)

    def contractions(self):
        return "".join(self.random.choice(["I", "we", "DON", " x", "'", "", "中", "1", "é", "\n", "."]) + self.random.choice(CONTRACTIONS)
                       for _ in range(self.random.randint(1, 4)))

    def added(self):
        return "".join(self.random.choice(ADDED) + self.random.choice(["", " ", "x", "\n", "猫", "'s", "\u0301"])
                       for _ in range(self.random.randint(1, 5)))

    def code_points(self):
        planes = [(0x20, 0x250), (0x250, 0x1000), (0x1000, 0x3000), (0x3000, 0xd800), (0xe000, 0x10000), (0x10000, 0x12000),
                  (0x16000, 0x1f000), (0x1f000, 0x20000), (0x20000, 0x32400), (0xe0000, 0x110000)]
        return "".join(chr(self.random.randrange(*self.random.choice(planes))) for _ in range(self.random.randint(1, 8)))

    def punctuation(self):
        return self.some(list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["\n", " ", "\r\n", "a", "  "], 1, 16)

    def broken(self):
        parts = [self.random.choice(BROKEN) for _ in range(self.random.randint(1, 3))]
        return b"".join(p + self.mixture(1).encode()[:6] for p in parts)

    def mixture(self, n=None):
        kinds = [self.english, self.language, self.emoji, self.marks, self.spaces, self.digits, self.contractions, self.added,
                 self.punctuation]
        return "".join(self.random.choice(kinds)() for _ in range(n or self.random.randint(2, 4)))

    def repeated(self):
        return self.random.choice(["a", "ab", " ", "\n", "哈", "=", "1", "é", "😀", " a", "ha", "\u0301", "<", "0 "]) * self.random.randint(2, 300)


def strings():
    """The strings of the file in tests/data, the same on every run."""
    make = Maker(20251122)
    counts = [(make.english, 2500), (make.language, 3000), (make.emoji, 400), (make.marks, 900), (make.spaces, 900),
              (make.controls, 300), (make.digits, 400), (make.contractions, 500), (make.added, 500), (make.code_points, 1300),
              (make.punctuation, 600), (make.broken, 300), (make.mixture, 900), (make.repeated, 100)]
    for contraction in CONTRACTIONS:
        for after in ["", "a", " ", "1", "\n", "'"]:
            yield "x" + contraction + after
    for space in SPACES + NOT_SPACES:
        for frame in ["{}", "a{}", "{}a", "a{}b", "a{0}{0}b", " {}b", "{} b", "a{}\nb", "a\n{}b", "a{}.", "{}1"]:
            yield frame.format(space)
    yield ""
    for function, count in counts:
        for _ in range(count):
            yield function()
    for n in (1000, 3000):
        yield make.some(ENGLISH, n, n, " ")
        yield make.some(list(WORDS["chinese"]), n, n)
        yield make.some(list("abcdefghijklmnopqrstuvwxyz"), n, n)


def every_code_point():
    """Each code point alone, between letters, spaces and marks, and after an apostrophe."""
    for c in range(0x110000):
        if 0xd800 <= c <= 0xdfff or (0x32400 <= c < 0xe0000) or (0xe1000 <= c < 0x10ff00):
            continue
        for frame in ["{}", "a{}b", " {}", "{} {}", "'{}e", "\n{}\n", "e{}\u0316\u0301", "\u0345{}", "1{0}{0}1", "\U00011935{}"]:
            yield frame.format(chr(c), chr(c))


def line(tokenizer, text):
    data = text if isinstance(text, bytes) else text.encode()
    ids = tokenizer.encode(data.decode("utf-8", "replace"), add_special_tokens=False).ids
    h = 2166136261
    for i in ids:
        for byte in i.to_bytes(4, "little"):
            h = (h ^ byte) * 16777619 & 0xffffffff
    # Escapes byte by byte; surrogateescape marks the bytes that are not UTF-8.
    quoted = "".join(f"\\x{ord(c) & 0xff:02x}" if ord(c) < 0x20 or c == "\\" or 0xdc80 <= ord(c) <= 0xdcff else c
                     for c in data.decode("utf-8", "surrogateescape"))
    return f"{len(ids)} {h:08x} {quoted}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer")
    parser.add_argument("out")
    parser.add_argument("--all", action="store_true")
    args = parser.parse_args()

    tokenizer = tokenizers.Tokenizer.from_file(args.tokenizer)
    lines = [f"# tokenizers {tokenizers.__version__}, Qwen3's tokenizer.json, make-tokenizer-golden.py\n"]
    seen = set()
    for text in every_code_point() if args.all else strings():
        if text not in seen:
            seen.add(text)
            lines.append(line(tokenizer, text))
    with open(args.out, "wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=9, mtime=0) as out:
        out.write("".join(lines).encode())
    print(f"{args.out}: {len(lines) - 1} strings")


if __name__ == "__main__":
    main()
