"""A network's ONNX graph, in which layers can be exchanged for factorised ones.

torch's export takes seconds. It is done once, for the dense network; a convolution or matrix of the
graph is then replaced by the nodes of a factorised layer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdws_explorer.factorize.gdws import GDWSConv2d
from gdws_explorer.utils import onnx_export

PRODUCTS = ("Conv", "Gemm", "MatMul")
# Operators that ONNX Runtime computes together with the product before them.
FUSED = ("Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "Add", "Sum")


@dataclass(frozen=True)
class ExchangedGraph:
    """A graph in which some layers are factorised.

    model : the serialised ONNX model. products : for every product of a layer, in order, the
    layer's name and the names that ONNX Runtime may give to it. others : the layer of every other
    node of a layer, such as a Gather, by the node's name.
    """

    model: bytes
    products: tuple[tuple[str, tuple[str, ...]], ...]
    others: Mapping[str, str]


class OnnxGraph:
    """The ONNX graph of a dense network.

    model : in eval mode, on the CPU. images : an example `(N, C, H, W)`. names : of the layers to
    find. Raises ExplorerError where torch cannot express the network in ONNX, or packages are
    missing.
    """

    def __init__(self, model: nn.Module, images: Tensor, names: Collection[str]) -> None:
        onnx_export.require()
        import onnx

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "dense.onnx"
            onnx_export.export(model, images, path)
            self._proto = onnx.load(path)
        for node in self._proto.graph.node:
            del node.metadata_props[:]  # the exporter's stack traces: most of the bytes
        weights = {f"{name}.weight": name for name in names}
        self._layers = {
            node.output[0]: weights[node.input[1]]
            for node in self._proto.graph.node
            if node.op_type in PRODUCTS and len(node.input) > 1 and node.input[1] in weights
        }

    @property
    def names(self) -> frozenset[str]:
        """The layers that the graph has a product of."""
        return frozenset(self._layers.values())

    def exchanged(self, modules: Mapping[str, nn.Module]) -> ExchangedGraph:
        """Returns the graph with these modules in place of the layers of their names.

        modules : factorised layers, convolutions or chains of them, by the layer's name. The bias
        is that of the graph, which may hold a folded BatchNorm.
        """
        import onnx

        proto = onnx.ModelProto()
        proto.CopyFrom(self._proto)
        graph = proto.graph
        old = list(graph.node)
        del graph.node[:]
        products: list[tuple[str, Any]] = []  # a layer's name, and its product
        others: dict[str, str] = {}
        for node in old:
            name = self._layers.get(node.output[0])
            if name is None or name not in modules:
                graph.node.append(node)
                if name is not None:
                    products.append((name, node))
                continue
            made, tensors = _nodes(modules[name], node, name)
            graph.node.extend(made)
            graph.initializer.extend(tensors)
            for each in made:
                if each.op_type in PRODUCTS:
                    products.append((name, each))
                else:
                    others[each.name] = name
        followers = _followers(graph.node)
        named = tuple((name, _executed_names(node, followers)) for name, node in products)
        return ExchangedGraph(proto.SerializeToString(), named, others)


def _nodes(module: nn.Module, old: Any, name: str) -> tuple[list[Any], list[Any]]:
    """Returns the nodes and tensors of a module that takes the place of the node `old`."""
    from onnx import helper, numpy_helper

    nodes: list[Any] = []
    tensors: list[Any] = []
    place = f"{name}|{old.output[0]}"
    steps = list(_steps(module))
    current = old.input[0]

    def tensor(value: Tensor, what: str) -> str:
        label = f"{place}|{len(nodes)}|{what}"
        tensors.append(numpy_helper.from_array(value.detach().cpu().numpy(), label))
        return label

    for k, step in enumerate(steps):
        last = k == len(steps) - 1
        out = old.output[0] if last else f"{place}|{k}"
        label = f"{place}|node{k}"
        more: dict[str, Any] = {}
        bias = list(old.input[2:]) if last else []
        if isinstance(step, Tensor):
            inputs, kind, more = [current, tensor(step, "index")], "Gather", {"axis": 1}
        elif isinstance(step, nn.Conv2d):
            inputs, kind = [current, tensor(step.weight, "weight"), *bias], "Conv"
            left, right, top, bottom = step._reversed_padding_repeated_twice
            zeros = step.padding_mode == "zeros"  # others are a Pad before the convolution
            more = {
                "group": step.groups,
                "strides": list(step.stride),
                "dilations": list(step.dilation),
                "pads": [top, left, bottom, right] if zeros else [0, 0, 0, 0],
            }
        else:
            assert isinstance(step, nn.Linear)
            kind = "Gemm" if old.op_type == "Gemm" else "MatMul"
            inputs = [current, tensor(step.weight.T.contiguous(), "weight"), *bias]
        nodes.append(helper.make_node(kind, inputs, [out], name=label, **more))
        current = out
    return nodes, tensors


def _steps(module: nn.Module) -> Iterable[nn.Conv2d | nn.Linear | Tensor]:
    """Yields the convolutions and linear layers of a chain, and the index of a Gather."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        yield module
        return
    if isinstance(module, GDWSConv2d):
        yield module.index.to(torch.int64)
    for child in module.children():
        yield from _steps(child)


def _followers(nodes: Sequence[Any]) -> dict[str, list[Any]]:
    """Returns the nodes that read every tensor."""
    found: dict[str, list[Any]] = {}
    for node in nodes:
        for tensor in node.input:
            found.setdefault(tensor, []).append(node)
    return found


def _executed_names(product: Any, followers: Mapping[str, Sequence[Any]]) -> tuple[str, ...]:
    """Returns the names that a product may have when it is executed, the most certain first.

    ONNX Runtime keeps its name, or names it by its output, or by that of the last node that is
    computed with it.
    """
    tensor = product.output[0]
    names = [product.name, tensor]
    while len(following := followers.get(tensor, ())) == 1 and following[0].op_type in FUSED:
        tensor = following[0].output[0]
        names.append(tensor)
    return tuple(names)
