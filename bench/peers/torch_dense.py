"""The TopK step of the recipe in dense eager PyTorch, as peers write it: scatter the kept values into [B, F], autograd.

Choices in its favour: the decoder bias is folded into the encoder's (five dense products instead of six, because no gradient
to x is formed), one fused Adam over all parameters, in-place projection. No dead latents, so no AuxK.
"""

import peer

args = peer.options()
import torch  # noqa: E402
import torch.nn.functional as Fn  # noqa: E402


def make(D, F, K, scale=1.0, lr=2e-4):
    W_dec = torch.nn.Parameter(Fn.normalize(torch.randn(F, D)))
    W_enc = torch.nn.Parameter(W_dec.detach().clone())
    b_enc = torch.nn.Parameter(torch.zeros(F))
    b_dec = torch.nn.Parameter(torch.zeros(D))
    adam = torch.optim.Adam([W_enc, b_enc, W_dec, b_dec], lr=lr, eps=6.25e-10, fused=True)
    since = torch.zeros(F, dtype=torch.int32)

    def step(x):
        adam.zero_grad(set_to_none=True)
        pre = Fn.linear(x, W_enc, b_enc - W_enc @ b_dec)
        top = pre.topk(K, dim=1, sorted=False)
        z = torch.zeros_like(pre).scatter(1, top.indices, top.values.relu())
        xhat = z @ W_dec + b_dec
        loss = scale * ((x - xhat) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            fired = torch.zeros(F, dtype=torch.bool)
            fired[top.indices[top.values > 0]] = True
            since.add_(1).masked_fill_(fired, 0)
            W_dec.grad -= (W_dec.grad * W_dec).sum(1, keepdim=True) * W_dec
            adam.step()
            W_dec.div_(W_dec.norm(dim=1, keepdim=True))
        return loss

    return step, (W_enc, b_enc, W_dec, b_dec)


if __name__ == "__main__":
    data = peer.batches(args)
    step, _ = make(args.D, args.F, args.K)
    peer.run(
        args, "torch_dense", lambda i: step(data[i % len(data)]).item(), args.B, ["torch"],
        "eager, f32, autograd through scatter, b_dec folded into the bias, fused Adam",
    )
