#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turn train.py's checkpoint into the shipped model folder: export.py CHECKPOINT [OUT, default: this folder]

Transformer and text encoder become GGUF files in 8 bits (Q8_0; vectors and pad tokens in F32) beside their configs,
with the names other programs expect (the last layer of the text encoder is counted but absent: it is never run); the VAE stays bfloat16 safetensors. Needs torch, safetensors, gguf, numpy.
"""
import argparse
import json
import os

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

import model
from train import HERE, PAD_TOKEN, load_parts

VERSION = "0.36.0.dev0"
CHAT = ("{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}")


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)
        f.write("\n")


def write_gguf(path, arch, keys, tensors):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    w = gguf.GGUFWriter(path, arch)
    for k, v in keys.items():
        w.add_uint32(k, v) if isinstance(v, int) else w.add_float32(k, v) if isinstance(v, float) else w.add_string(k, v)
    for name, t in tensors.items():
        a = np.ascontiguousarray(t.detach().float().numpy())
        if a.ndim == 2 and a.shape[1] % 32 == 0 and a.shape[0] > 1:
            q = gguf.GGMLQuantizationType.Q8_0
            w.add_tensor(name, gguf.quants.quantize(a, q), raw_dtype=q)
        else:
            w.add_tensor(name, a)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def fused(tr):
    """diffusers' names to the fused ones of single-file checkpoints"""
    out = {}
    for k, v in tr.items():
        k = k.replace("all_x_embedder.2-1.", "x_embedder.").replace("all_final_layer.2-1.", "final_layer.")
        k = k.replace("to_out.0.", "out.").replace("norm_q.", "q_norm.").replace("norm_k.", "k_norm.")
        if ".to_q." in k:
            p = k.replace(".to_q.", ".to_%s.")
            v, k = torch.cat([v] + [tr[p % c] for c in "kv"]), k.replace("to_q", "qkv")
        elif ".to_k." in k or ".to_v." in k:
            continue
        out[k] = v
    return out


QWEN = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def qwen_names(te):
    out = {}
    for k, v in te.items():
        if k == "embed_tokens.weight":
            out["token_embd.weight"] = v
        else:
            n, part = k[len("layers."):-len(".weight")].split(".", 1)
            out[f"blk.{n}.{QWEN[part]}.weight"] = v
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("checkpoint")
    ap.add_argument("out", nargs="?", default=HERE)
    a = ap.parse_args()
    with open(f"{a.checkpoint}/state.json") as f:
        state = json.load(f)
    dit, text, vae = model.Dit(), model.Text(), model.Vae()
    for net, name in ((dit, "dit"), (text, "text"), (vae, "vae")):
        net.load_state_dict(load_parts(a.checkpoint, name))
    tr, te = model.to_diffusers(dit, text)
    d, t, v = model.DIT, model.TEXT, model.VAE

    write_gguf(f"{a.out}/transformer/diffusion_pytorch_model.gguf", "lumina2",
               {"general.name": "Z-Image Studio demo", "general.file_type": 7, "general.quantization_version": 2}, fused(tr))
    write_json(f"{a.out}/transformer/config.json", {
        "_class_name": "ZImageTransformer2DModel", "_diffusers_version": VERSION, "all_f_patch_size": [1], "all_patch_size": [2],
        "axes_dims": list(d["axes"]), "axes_lens": [1536, 512, 512], "cap_feat_dim": t["dim"], "dim": d["dim"], "in_channels": 16,
        "n_heads": d["heads"], "n_kv_heads": d["heads"], "n_layers": d["layers"], "n_refiner_layers": d["refiners"],
        "norm_eps": d["eps"], "qk_norm": True, "rope_theta": d["theta"], "t_scale": 1000.0})

    pad, end = (json.load(open(f"{HERE}/tokenizer/tokenizer.json"))["added_tokens"][k]["id"] for k in (0, 2))
    write_gguf(f"{a.out}/text_encoder/model.gguf", "qwen3", {
        "general.name": "Z-Image Studio demo text encoder", "general.file_type": 7, "general.quantization_version": 2,
        "qwen3.block_count": t["layers"], "qwen3.context_length": 1024, "qwen3.embedding_length": t["dim"],
        "qwen3.feed_forward_length": t["hidden"], "qwen3.attention.head_count": t["heads"], "qwen3.attention.head_count_kv": t["kv_heads"],
        "qwen3.attention.key_length": t["head_dim"], "qwen3.attention.value_length": t["head_dim"], "qwen3.rope.freq_base": t["theta"],
        "qwen3.attention.layer_norm_rms_epsilon": t["eps"]}, qwen_names(te))
    write_json(f"{a.out}/text_encoder/config.json", {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": pad, "eos_token_id": end,
        "head_dim": t["head_dim"], "hidden_act": "silu", "hidden_size": t["dim"], "initializer_range": 0.02, "intermediate_size": t["hidden"],
        "max_position_embeddings": 1024, "max_window_layers": t["layers"], "model_type": "qwen3", "num_attention_heads": t["heads"],
        "num_hidden_layers": t["layers"], "num_key_value_heads": t["kv_heads"], "rms_norm_eps": t["eps"], "rope_scaling": None,
        "rope_theta": int(t["theta"]), "sliding_window": None, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True,
        "use_sliding_window": False, "vocab_size": t["vocab"]})

    os.makedirs(f"{a.out}/vae", exist_ok=True)
    save_file({k: x.to(torch.bfloat16).contiguous() for k, x in vae.state_dict().items()}, f"{a.out}/vae/diffusion_pytorch_model.safetensors",
              metadata={"format": "pt"})
    write_json(f"{a.out}/vae/config.json", {
        "_class_name": "AutoencoderKL", "_diffusers_version": VERSION, "act_fn": "silu", "block_out_channels": list(v["ch"]),
        "down_block_types": ["DownEncoderBlock2D"] * 4, "force_upcast": False, "in_channels": 3, "latent_channels": v["latent"],
        "latents_mean": None, "latents_std": None, "layers_per_block": v["per_block"], "mid_block_add_attention": True, "norm_num_groups": 32,
        "out_channels": 3, "sample_size": 256, "scaling_factor": state["scale"], "shift_factor": state["shift"],
        "up_block_types": ["UpDecoderBlock2D"] * 4, "use_post_quant_conv": False, "use_quant_conv": False})

    write_json(f"{a.out}/scheduler/scheduler_config.json", {"_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": VERSION,
                                                            "num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": False})
    # what others added to our entry (fit_preview.py: "preview") stays; sizes further from the 256 x 256 of the training fall apart
    own = {"name": "Demo model", "demo": True, "default_width": 256, "default_height": 256, "sizes": [[256, 256], [256, 224], [224, 256]],
           "steps": 8, "distilled": True}
    index = f"{a.out}/model_index.json"
    if os.path.exists(index):
        with open(index, encoding="utf-8") as f:
            own = {**json.load(f).get("zimage_studio", {}), **own}
    write_json(index, {
        "_class_name": "ZImagePipeline", "_diffusers_version": VERSION, "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen3Model"], "tokenizer": ["transformers", "Qwen2Tokenizer"],
        "transformer": ["diffusers", "ZImageTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"],
        "zimage_studio": own})
    write_json(f"{a.out}/tokenizer/tokenizer_config.json", {
        "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "chat_template": CHAT, "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>", "model_max_length": 1024, "pad_token": PAD_TOKEN, "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": None})
    files = [os.path.join(r, f) for s in ("transformer", "text_encoder", "vae", "tokenizer", "scheduler") for r, _, fs in os.walk(f"{a.out}/{s}") for f in fs]
    print("model: %.2f MB" % (sum(map(os.path.getsize, files)) / 1e6))


if __name__ == "__main__":
    main()
