"""The architecture of Hugging Face's Llama in plain PyTorch, with the same parameter names, plus dropout while training.

    h_0 = E[token];   h <- h + Attention(RMSNorm(h));   h <- h + W_down(silu(W_gate x) * W_up x), x = RMSNorm(h);   logits = RMSNorm(h_L) E^T

Shapes: rows B, positions T, width D, heads H of D/H, key-value heads KV <= H, vocabulary V. `check` compares it with transformers.
"""
import dataclasses

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclasses.dataclass(frozen=True)
class Shape:
    width: int = 288
    layers: int = 6
    heads: int = 9
    kv_heads: int = 3
    feed_forward: int = 832
    vocabulary: int = 8192
    context: int = 256
    rope_theta: float = 10000.0
    epsilon: float = 1e-5


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, self.size = shape, shape.width // shape.heads
        self.q_proj = nn.Linear(shape.width, shape.heads * self.size, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.kv_heads * self.size, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.kv_heads * self.size, bias=False)
        self.o_proj = nn.Linear(shape.heads * self.size, shape.width, bias=False)

    def forward(self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        B, T, _ = x.shape

        def heads(y: torch.Tensor) -> torch.Tensor:
            return y.view(B, T, -1, self.size).transpose(1, 2)

        def rotate(y: torch.Tensor) -> torch.Tensor:
            first, second = y.chunk(2, dim=-1)
            # In the dtype of y, so that under autocast the angles do not lift the products to float32.
            return y * cosine.to(y.dtype) + torch.cat((-second, first), dim=-1) * sine.to(y.dtype)

        q, k, v = rotate(heads(self.q_proj(x))), rotate(heads(self.k_proj(x))), heads(self.v_proj(x))
        repeat = self.shape.heads // self.shape.kv_heads
        z = F.scaled_dot_product_attention(q, k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1), is_causal=True)
        return self.o_proj(z.transpose(1, 2).reshape(B, T, -1))


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down_proj = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.width, shape.epsilon)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, shape.epsilon)
        self.mlp = FeedForward(shape)
        self.dropout = dropout

    def forward(self, h: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        h = h + F.dropout(self.self_attn(self.input_layernorm(h), cosine, sine), self.dropout, self.training)
        return h + F.dropout(self.mlp(self.post_attention_layernorm(h)), self.dropout, self.training)


class Decoder(nn.Module):
    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Block(shape, dropout) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, shape.epsilon)


class Llama(nn.Module):
    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape, self.dropout = shape, dropout
        self.model = Decoder(shape, dropout)
        size = shape.width // shape.heads
        angles = torch.outer(torch.arange(shape.context), shape.rope_theta ** (-torch.arange(0, size, 2) / size)).repeat(1, 2)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        # Matrices that write into the residual stream start smaller, so that its size does not depend on the depth (GPT-2, section 2.3).
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                into_stream = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * shape.layers) ** 0.5 if into_stream else 0.02)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits [B, T, V] of token ids [B, T]."""
        cosine, sine = self.cosine[: ids.shape[1]], self.sine[: ids.shape[1]]
        h = F.dropout(self.model.embed_tokens(ids), self.dropout, self.training)
        for block in self.model.layers:
            h = block(h, cosine, sine)
        return F.linear(self.model.norm(h), self.model.embed_tokens.weight)


def hugging_face(shape: Shape):
    """The same model in transformers, with weights of its own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.feed_forward, num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, max_position_embeddings=shape.context,
            rms_norm_eps=shape.epsilon, rope_theta=shape.rope_theta, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1, pad_token_id=2,
            initializer_range=0.02,
        )
    )


def to_hugging_face(model: Llama):
    """The trained weights in transformers' own class; fails when a name differs."""
    target = hugging_face(model.shape)
    state = {name: value.detach().float().cpu() for name, value in model.state_dict().items()}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    target.load_state_dict(state, strict=True)
    return target.eval()


@torch.no_grad()
def check(model: Llama, rows: torch.Tensor) -> float:
    """Largest difference of the logits from transformers', in float32, relative to their RMS."""
    ours = model.eval()(rows).float().cpu()
    theirs = to_hugging_face(model)(input_ids=rows.cpu()).logits
    return float((ours - theirs).abs().max() / theirs.pow(2).mean().sqrt())
