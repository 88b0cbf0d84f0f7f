"""layouts.py FOLDER [MODEL[:DTYPE]...]: the same weights in every layout that PyTorch's tools leave, each in a folder of its own under FOLDER.

Each folder is called SET-LAYOUT; SET-expected holds what a reader must find in all of the set, as safetensors. With MODELs, folders of models, each is a
set by the folder's name: its weights, and its other files beside them; with a DTYPE ("float16") its floats in that, and the set is called NAME-DTYPE.
Those in the names of OpenAI, or whose config says BLIP or OFA, also as open_clip, Salesforce and fairseq leave them.
"""
import argparse
import json
import os
import re
import shutil
import sys

import torch

DTYPES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
SCRIPT = """
import torch
class Holder(torch.nn.Module):
    def forward(self, x):
        return x
"""


def raw(tensor):
    tensor = tensor.detach().contiguous()
    if tensor.numel() == 0:
        return b""
    return tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def weights():
    """Names of the three networks here, every dtype, and tensors that do not lie as one would think."""
    torch.manual_seed(1)
    w = {}
    for layer in range(2):
        for part in ("q_proj", "k_proj", "out_proj"):
            name = f"vision_model.encoder.layers.{layer}.self_attn.{part}"
            w[name + ".weight"] = torch.randn(8, 8)
            w[name + ".bias"] = torch.randn(8)
    w["logit_scale"] = torch.tensor(2.5)
    w["visual_projection.weight"] = torch.randn(5, 8).half()
    w["bert.embeddings.word_embeddings.weight"] = torch.randn(30, 6).bfloat16()
    w["bert.embeddings.position_ids"] = torch.arange(12).reshape(1, 12)
    w["classifier.weight"] = torch.randn(3, 6, dtype=torch.float64)
    w["decoder.bn.running_var"] = torch.rand(7)
    w["decoder.bn.num_batches_tracked"] = torch.tensor(3)
    w["encoder.turned.weight"] = torch.randn(6, 9).t()
    w["encoder.crooked.weight"] = torch.randn(4, 5, 6).permute(2, 0, 1)
    whole = torch.randn(10, 4)
    w["encoder.shared.first"] = whole[:3]
    w["encoder.shared.last"] = whole[7:]
    w["encoder.shared.column"] = whole[:, 1]
    w["encoder.empty"] = torch.zeros(0, 4)
    for dtype in (torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool):
        w["kinds." + DTYPES[dtype].lower()] = torch.randint(0, 2, (3, 3)).to(dtype)
    return w


def openai():
    """The names of OpenAI's CLIP, whose text tower is `d` wide and whose picture tower 2d."""
    torch.manual_seed(2)
    d, e = 64, 48
    w = {"positional_embedding": torch.randn(77, d), "text_projection": torch.randn(d, e).half(), "logit_scale": torch.tensor(4.6)}
    w["token_embedding.weight"] = torch.randn(96, d)
    w["visual.class_embedding"] = torch.randn(2 * d)
    w["visual.positional_embedding"] = torch.randn(17, 2 * d)
    w["visual.proj"] = torch.randn(2 * d, e).half()
    w["visual.conv1.weight"] = torch.randn(2 * d, 3, 8, 8).half()
    for norm, width in (("visual.ln_pre", 2 * d), ("visual.ln_post", 2 * d), ("ln_final", d)):
        w[norm + ".weight"] = torch.randn(width)
        w[norm + ".bias"] = torch.randn(width)
    for tower, width, layers in (("visual.", 2 * d, 2), ("", d, 3)):
        for i in range(layers):
            name = f"{tower}transformer.resblocks.{i}."
            w[name + "attn.in_proj_weight"] = torch.randn(3 * width, width).half()
            w[name + "attn.in_proj_bias"] = torch.randn(3 * width).half()
            for part, rows, columns in (("attn.out_proj", width, width), ("mlp.c_fc", 4 * width, width), ("mlp.c_proj", width, 4 * width)):
                w[name + part + ".weight"] = torch.randn(rows, columns).half()
                w[name + part + ".bias"] = torch.randn(rows).half()
            for norm in ("ln_1", "ln_2"):
                w[name + norm + ".weight"] = torch.randn(width)
                w[name + norm + ".bias"] = torch.randn(width)
    return w


def renamed(w):
    """What Hugging Face calls the tensors of openai()."""
    out = {}
    layers = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    names = {
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "logit_scale": "logit_scale",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    }
    norms = {"visual.ln_pre": "vision_model.pre_layrnorm", "visual.ln_post": "vision_model.post_layernorm", "ln_final": "text_model.final_layer_norm"}
    for norm, to in norms.items():
        for what in (".weight", ".bias"):
            names[norm + what] = to + what
    for name, tensor in w.items():
        if name in names:
            out[names[name]] = tensor
        elif name == "text_projection":
            out["text_projection.weight"] = tensor.t()
        elif name == "visual.proj":
            out["visual_projection.weight"] = tensor.t()
        else:
            tower, rest = name.split("transformer.resblocks.")
            number, rest = rest.split(".", 1)
            layer = ("vision_model" if tower else "text_model") + f".encoder.layers.{number}."
            if rest.startswith("attn.in_proj_"):
                for part, rows in zip("qkv", tensor.chunk(3)):
                    out[f"{layer}self_attn.{part}_proj.{rest[len('attn.in_proj_'):]}"] = rows
            else:
                stem, what = rest.rsplit(".", 1)
                out[layer + layers[stem] + "." + what] = tensor
    return out


def write_safetensors(path, w):
    header, data = {}, b""
    for name, tensor in w.items():
        bytes_ = raw(tensor)
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + data)


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    start = 8 + int.from_bytes(data[:8], "little")
    dtypes = {name: dtype for dtype, name in DTYPES.items()}
    w = {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = (start + offset for offset in entry["data_offsets"])
            w[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=dtypes[entry["dtype"]]).reshape(entry["shape"])
    return w


def write_shards(folder, stem, ending, save, w):
    names, total = list(w), sum(len(raw(t)) for t in w.values())
    third, where = (len(names) + 2) // 3, {}
    for i in range(3):
        part = {name: w[name] for name in names[i * third : (i + 1) * third]}
        file = f"{stem}-{i + 1:05}-of-00003.{ending}"
        save(part, os.path.join(folder, file))
        where.update({name: file for name in part})
    with open(os.path.join(folder, f"{stem}.{ending}.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": where}, f)


def module_of(w, scripts):
    sys.path.insert(0, scripts)
    import holder

    top = holder.Holder()
    for name, tensor in w.items():
        at = top
        *path, last = name.split(".")
        for part in path:
            if part not in at._modules:
                at.add_module(part, torch.nn.Module())
            at = at._modules[part]
        if tensor.is_floating_point():
            at.register_parameter(last, torch.nn.Parameter(tensor, requires_grad=False))
        else:
            at.register_buffer(last, tensor)
    return top


def tied(w):
    """Equal tensors as one, as they are in a running model."""
    kept = {}
    return {name: kept.setdefault((tensor.dtype, tensor.shape, raw(tensor)), tensor) for name, tensor in w.items()}


def fairseq(name):
    """What the training code of OFA's authors calls a tensor."""
    name = name.replace("cross_attn_mid_layer_norm", "cross_attn_ln").replace("ffn_layer_norm", "ffn_layernorm").replace("cross_attn_layer", "encoder_attn_layer")
    name = name.replace("self_attn_mid_layer_norm", "attn_ln" if name.startswith("encoder.") else "self_attn_ln")
    return name.replace(".cross_attn.", ".encoder_attn.")


def salesforce(name):
    """What Salesforce's code of BLIP calls a tensor."""
    for ours, theirs in (
        (r"^vision_model\.embeddings\.class_embedding", "visual_encoder.cls_token"),
        (r"^vision_model\.embeddings\.position_embedding", "visual_encoder.pos_embed"),
        (r"^vision_model\.embeddings\.patch_embedding", "visual_encoder.patch_embed.proj"),
        (r"^vision_model\.post_layernorm", "visual_encoder.norm"),
        (r"^vision_model\.encoder\.layers", "visual_encoder.blocks"),
        (r"^(visual_encoder\.blocks\.\d+)\.layer_norm", r"\1.norm"),
        (r"^(visual_encoder\.blocks\.\d+)\.self_attn\.qkv", r"\1.attn.qkv"),
        (r"^(visual_encoder\.blocks\.\d+)\.self_attn\.projection", r"\1.attn.proj"),
    ):
        name = re.sub(ours, theirs, name)
    return name


class Writer:
    def __init__(self, root, kind, w, model=None):
        self.root, self.kind, self.w, self.model = root, kind, w, model

    def folder(self, layout):
        path = os.path.join(self.root, f"{self.kind}-{layout}")
        os.makedirs(path, exist_ok=True)
        for file in os.listdir(self.model) if self.model else []:
            if file != "model.safetensors":
                shutil.copy(os.path.join(self.model, file), path)
        return path

    def save(self, layout, file, what, **how):
        torch.save(what, os.path.join(self.folder(layout), file), **how)

    def layouts(self):
        w, old = self.w, {"_use_new_zipfile_serialization": False}
        module = module_of(w, self.root)
        state = module.state_dict()
        write_safetensors(os.path.join(self.folder("safetensors"), "model.safetensors"), w)
        write_shards(self.folder("shards"), "model", "safetensors", lambda part, path: write_safetensors(path, part), w)
        write_shards(self.folder("bins"), "pytorch_model", "bin", torch.save, w)
        self.save("zip", "pytorch_model.bin", w)
        self.save("state", "pytorch_model.bin", state)
        self.save("legacy", "pytorch_model.bin", w, **old)
        self.save("oldstate", "pytorch_model.bin", state, **old)
        torch.jit.save(torch.jit.script(module), os.path.join(self.folder("script"), "weights.pt"))
        self.save("parameters", "weights.pth", dict(module.named_parameters()) | dict(module.named_buffers()))
        training = {"epoch": 3, "state_dict": {"module." + k: v for k, v in w.items()}, "rate": 1e-3, "args": None}
        training.update(shape=torch.Size([2, 3]), dtype=torch.float16, device=torch.device("cpu"), seen={1, 2}, options=argparse.Namespace(lr=1))
        self.save("training", "epoch_3.pt", training)
        self.save("envelope", "checkpoint.pth", {"model": w, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.98)}]}, "scaler": None})
        parameters = {k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in w.items()}
        self.save("protocol4", "pytorch_model.bin", parameters, pickle_protocol=4)

    def open_clip(self, config):
        """open_clip's files, which have no config.json; the text tower with the names of both of its classes."""
        text = {"context_length": config["context_length"], "vocab_size": config["vocab_size"], "width": config["transformer_width"]}
        text.update(heads=config["transformer_heads"], layers=config["transformer_layers"])
        vision = {"image_size": config["image_resolution"], "layers": config["vision_layers"], "width": config["vision_width"]}
        vision["patch_size"] = config["vision_patch_size"]
        told = {"model_cfg": {"embed_dim": config["embed_dim"], "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
        custom = {name if name == "logit_scale" or name.startswith("visual.") else "text." + name: tensor for name, tensor in self.w.items()}
        for layout in ("openclip", "openclipsafe", "openclipcustom"):
            folder = self.folder(layout)
            os.remove(os.path.join(folder, "config.json"))
            with open(os.path.join(folder, "open_clip_config.json"), "w") as f:
                json.dump(told, f)
            if layout == "openclipsafe":
                write_safetensors(os.path.join(folder, "open_clip_model.safetensors"), self.w)
            else:
                torch.save(custom if layout == "openclipcustom" else self.w, os.path.join(folder, "open_clip_pytorch_model.bin"))

    def families(self):
        with open(os.path.join(self.model, "config.json")) as f:
            config = json.load(f)
        if "vision_patch_size" in config:
            self.open_clip(config)
        elif config["model_type"] == "blip":
            named = {salesforce(name): tensor for name, tensor in self.w.items()}
            named["text_decoder.bert.embeddings.position_ids"] = torch.arange(8).reshape(1, 8)
            self.save("salesforce", "model_base_caption.pth", {"model": named})
        elif config["model_type"] == "ofa":
            named = {fairseq(name): tensor for name, tensor in self.w.items()} | {"decoder.version": torch.tensor([3.0])}
            told = {"model": argparse.Namespace(arch="ofa_tiny", dropout=0.1), "common": {"fp16": True, "seed": 7}}
            self.save("fairseq", "caption.pt", {"args": None, "cfg": told, "model": named, "optimizer_history": [{"num_updates": 3}], "extra_state": {}})


def main(root, *models):
    with open(os.path.join(root, "holder.py"), "w") as f:
        f.write(SCRIPT)
    for kind, w in {} if models else {"plain": weights(), "openai": openai()}.items():
        writer = Writer(root, kind, w)
        write_safetensors(os.path.join(writer.folder("expected"), "model.safetensors"), renamed(w) if kind == "openai" else w)
        writer.layouts()
    for model in models:
        path, _, dtype = model.partition(":")
        w = tied(read_safetensors(os.path.join(path, "model.safetensors")))
        if dtype:
            w = {k: v.to(getattr(torch, dtype)) if v.is_floating_point() else v for k, v in w.items()}
        writer = Writer(root, os.path.basename(path) + ("-" + dtype if dtype else ""), w, path)
        writer.layouts()
        writer.families()


main(*sys.argv[1:])
