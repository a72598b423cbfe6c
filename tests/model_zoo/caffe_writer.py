"""Writes a network of the zoo as Caffe has it: a prototxt, and a .caffemodel encoded by hand.

The messages are those of Caffe's caffe.proto: NetParameter.layer is field 100; of a LayerParameter name is 1, type 2
and blobs 7; of a BlobProto data is 5 and shape 7, whose dim is 1.
"""

import re

import numpy as np

from model_zoo import graph

_LRN = ("square", "expand_dims", "squeeze", "_mul_scalar", "_plus_scalar", "_power_scalar")


def varint(number):
    groups = []
    while True:
        number, low = divmod(number, 128)
        groups.append(low + 128 * bool(number))
        if not number:
            return bytes(groups)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def blob(array):
    array = np.asarray(array, "<f4")
    return field(7, field(1, b"".join(map(varint, array.shape)))) + field(5, array.tobytes())


def caffemodel(layers):
    """Args: layers: (name, type, blobs) of each."""
    parts = (
        field(1, name.encode()) + field(2, kind.encode()) + b"".join(field(7, blob(b)) for b in blobs)
        for name, kind, blobs in layers
    )
    return b"".join(field(100, part) for part in parts)


def _layer(name, kind, bottoms, settings=""):
    inputs = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
    return f'layer {{ name: "{name}" type: "{kind}" {inputs} top: "{name}" {settings} }}\n'


def _numbers(text):
    return [int(number) for number in re.findall(r"\d+", text or "")]


def _of_a_window(attributes):
    kernel, stride, pad = (_numbers(attributes.get(name)) for name in ("kernel", "stride", "pad"))
    return f"kernel_size: {kernel[0]} stride: {(stride or [1])[0]} pad: {(pad or [0])[0]}"


def write(net, folder, side, shortcuts_first=False, name="net", softmax=True):
    """Writes NAME.prototxt and NAME.caffemodel; the channels of images become B, G, R, as Caffe's networks have them.

    Args: shortcuts_first: a projection stands before the branch that it goes beside, as in the first ResNets.
    """
    values = {p.name: p.data().asnumpy() for p in net.collect_params().values()}
    found, top, turned = [], {"data": "data"}, False
    for operator in graph.operators(graph.trace(net), (1, 3, side, side)):
        kind, given, a = operator.kind, [n for n, _ in operator.inputs if n in top], operator.attributes
        arrays = [values[n] for n, _ in operator.inputs if n in values]
        bottoms = [top[n] for n in given]
        own = top[operator.name] = operator.name
        if kind in ("Convolution", "FullyConnected"):
            if not turned:
                arrays[0], turned = arrays[0][:, ::-1], True
            bias = f"bias_term: {'true' if len(arrays) == 2 else 'false'}"
            if kind == "Convolution":
                window = f"group: {a.get('num_group', '1')} {_of_a_window(a)}"
                settings = f"convolution_param {{ num_output: {a['num_filter']} {bias} {window} }}"
                found.append((own, "Convolution", arrays, bottoms, settings))
            else:
                settings = f"inner_product_param {{ num_output: {a['num_hidden']} {bias} }}"
                found.append((own, "InnerProduct", arrays, bottoms, settings))
        elif kind == "BatchNorm":
            arrays = arrays if turned else [array[::-1] for array in arrays]
            gamma, beta, mean, variance = arrays
            found.append((f"{own}_n", "BatchNorm", [2 * mean, 2 * variance, [2.0]], bottoms, ""))
            found.append((own, "Scale", [gamma, beta], [f"{own}_n"], "scale_param { bias_term: true }"))
        elif kind == "Activation":
            found.append((own, "ReLU", [], bottoms, ""))
        elif kind == "Pooling" and len(_numbers(a.get("kernel"))) == 3 or kind in _LRN:
            top[operator.name] = bottoms[0]
        elif kind == "Pooling":
            way = {"max": "MAX", "avg": "AVE"}[a.get("pool_type", "max")]
            window = "global_pooling: true" if a.get("global_pool") == "True" else _of_a_window(a)
            found.append((own, "Pooling", [], bottoms, f"pooling_param {{ pool: {way} {window} }}"))
        elif kind == "elemwise_mul":
            found.append((own, "LRN", [], bottoms[:1], "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"))
        elif kind in ("Flatten", "Reshape", "Dropout"):
            top[operator.name] = bottoms[0]
        else:
            kinds = {"elemwise_add": "Eltwise", "Concat": "Concat"}
            found.append((own, kinds[kind], [], bottoms, ""))
    if shortcuts_first:
        found = _shortcuts_first(found)
    if softmax:
        found.append(("prob", "Softmax", [], [found[-1][0]], ""))
    head = f'input: "data" input_shape {{ dim: 1 dim: 3 dim: {side} dim: {side} }}\n'
    (folder / f"{name}.prototxt").write_text(head + "".join(_layer(n, k, b, s) for n, k, _, b, s in found))
    path = folder / f"{name}.caffemodel"
    path.write_bytes(caffemodel([(n, kind, arrays) for n, kind, arrays, *_ in found if arrays]))
    return path


def _shortcuts_first(layers):
    """A convolution that goes straight into a sum stands as soon as its input is there."""
    sums = {bottom for _, kind, _, bottoms, _ in layers if kind == "Eltwise" for bottom in bottoms[1:]}
    projections = [layer for layer in layers if layer[0] in sums and layer[1] == "Convolution"]
    rest = [layer for layer in layers if all(layer is not other for other in projections)]
    for projection in projections:
        at = next(k for k, layer in enumerate(rest) if layer[0] == projection[3][0])
        rest.insert(at + 1, projection)
    return rest
