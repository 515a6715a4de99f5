"""Files that read no text, for shapes that are measured: test/golden/onnx/images/*.onnx.

    python test/oracles/onnx/make_images.py      # needs onnx

patches.onnx   pixels [batch,3,height,width] of any size -> patches of 16 x 16
vit.onnx       the same with every axis free and a table of 196 positions, so that only 224 x 224 runs
last.onnx      pixels [batch,height,width,3], transposed, then as patches.onnx
sound.onnx     pixels [batch,time], which are samples here -> frames of 400, one every 320
large.onnx     one input of a fixed size, 600 million numbers
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OUT = Path(__file__).resolve().parents[2] / "golden" / "onnx" / "images"
OUT.mkdir(exist_ok=True)
rng = np.random.default_rng(5)


def save(name, nodes, shape, output, rank, constants=None):
    value = lambda name, dims: helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
    initializers = [numpy_helper.from_array(data, key) for key, data in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", [value("pixels", shape)], [value(output, [f"out/{axis}" for axis in range(rank)])], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="make_images.py")
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, OUT / f"{name}.onnx")


node = helper.make_node
patches = [node("Conv", ["pixels", "kernel"], ["patches"], strides=[16, 16]), node("Reshape", ["patches", "flat/shape"], ["flat"]), node("Transpose", ["flat"], ["rows"], perm=[0, 2, 1])]
constants = {"kernel": rng.standard_normal((2, 3, 16, 16)).astype(np.float32), "flat/shape": np.array([0, 2, -1])}
save("patches", patches, ["batch", 3, "height", "width"], "rows", 3, constants)
table = {"table": rng.standard_normal((1, 196, 2)).astype(np.float32)}
save("vit", [*patches, node("Add", ["rows", "table"], ["placed"])], ["batch", "channels", "height", "width"], "placed", 3, {**constants, **table})
first = [node("Transpose", ["pixels"], ["first"], perm=[0, 3, 1, 2]), node("Conv", ["first", "kernel"], ["patches"], strides=[16, 16])]
save("last", first, ["batch", "height", "width", 3], "patches", 4, {"kernel": constants["kernel"]})
framed = [node("Unsqueeze", ["pixels", "one"], ["channel"]), node("Conv", ["channel", "window"], ["frames"], strides=[320])]
save("sound", framed, ["batch", "time"], "frames", 3, {"one": np.array([1]), "window": rng.standard_normal((2, 1, 400)).astype(np.float32)})
save("large", [node("Relu", ["pixels"], ["positive"])], [1, 600_000_000], "positive", 2)
