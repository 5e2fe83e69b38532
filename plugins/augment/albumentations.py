"""albumentations' transforms under their own names: `{use: A.HorizontalFlip, p: 0.5}`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from comp.api import Augment, ImageSpec, PluginError, plugin

_ON_THE_DEVICE = ("Normalize", "ToFloat", "FromFloat", "ToTensorV2", "ToTensor3D")
_WANT_BOXES_OR_MASKS = (
    "AtLeastOneBBoxRandomCrop",
    "BBoxSafeRandomCrop",
    "ConstrainedCoarseDropout",
    "CropNonEmptyMaskIfExists",
    "RandomSizedBBoxSafeCrop",
)
_NOT_FOR_USE = (*_ON_THE_DEVICE, *_WANT_BOXES_OR_MASKS, "BasicTransform", "DualTransform", "ImageOnlyTransform", "Lambda")
_CHOICES = ("OneOf", "OneOrOther", "RandomOrder", "Sequential", "SomeOf")


@plugin("augment", family="A.", names="list_transforms", signature="read_signature")
def albumentations(name: str, image: ImageSpec, /, **arguments: Any) -> Augment:
    """Any transform of albumentations, with its own arguments.

    `size`, `height` and `width` are the training size where a transform demands them and the manifest does not give them; one
    number for `size` means a square. OneOf, SomeOf, RandomOrder and Sequential take `transforms`, a list of further
    `{use: A.…}`. An argument that the transform does not know is an error, where albumentations itself would warn.

    Raises:
        PluginError: there is no such transform, or it refuses its arguments.

    Example: {use: A.HorizontalFlip, p: 0.5}
    """
    try:
        return _build(name, arguments, image.size)
    except (TypeError, ValueError) as error:
        raise PluginError(f"augment A.{name}: {error}") from error


def list_transforms() -> list[str]:
    """The names that may stand after `A.`."""
    return sorted([*_find_classes(), *_CHOICES])


def read_signature(name: str, arguments: Mapping[str, Any]) -> inspect.Signature | None:
    """What a transform accepts; None where there is no such transform.

    Raises:
        ValueError: it refuses these arguments, or does what the kit does on the device.
    """
    if name in _ON_THE_DEVICE:
        raise ValueError("leave it out: images stay uint8 up to the device, where the kit normalises (image.mean, image.std)")
    if name not in _CHOICES and name not in _find_classes():
        return None
    signature = _read_own_signature(name)
    parameters = [
        parameter.replace(default=None) if parameter.name in ("size", "height", "width") else parameter
        for parameter in signature.parameters.values()
    ]
    # Unknown names are left to the caller, who can say which known one they resemble.
    if set(arguments) <= set(signature.parameters):
        _build(name, arguments, (64, 64))
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    return signature.replace(parameters=parameters)


def _build(name: str, arguments: Mapping[str, Any], size: tuple[int, int]) -> Any:
    library = _import_library()
    given = {key: value for key, value in arguments.items() if value is not None}
    if name in _CHOICES:
        parts = given.pop("transforms", None)
        if not isinstance(parts, list) or not parts:
            raise ValueError("transforms: wanted a list of further {use: A.…}")
        return getattr(library, name)(transforms=[_build_nested(part, size) for part in parts], **given)
    if name not in _find_classes():
        raise ValueError("albumentations has no such transform of images")
    accepted = _read_own_signature(name).parameters
    for key, value in (("size", size), ("height", size[0]), ("width", size[1])):
        if key in accepted and accepted[key].default is inspect.Parameter.empty:
            given.setdefault(key, value)
    if isinstance(given.get("size"), int) and "size" in accepted:
        given["size"] = (given["size"], given["size"])
    try:
        transform = _find_classes()[name](**given, **_be_strict(_find_classes()[name]))
    except ValueError as error:
        raise ValueError(_brief(error)) from error
    if wants := sorted(set(transform.targets_as_params) - {"image"}):
        raise ValueError(f"it needs {', '.join(wants)} beside the image, which this kit does not have")
    return transform


def _build_nested(part: Any, size: tuple[int, int]) -> Any:
    if not isinstance(part, Mapping) or not str(part.get("use", "")).startswith("A."):
        raise ValueError(f"transforms: {part!r} is no mapping with use: A.…")
    name = part["use"].removeprefix("A.")
    try:
        return _build(name, {key: value for key, value in part.items() if key != "use"}, size)
    except (TypeError, ValueError) as error:
        raise ValueError(f"A.{name}: {error}") from error


def _be_strict(thing: type) -> dict[str, bool]:
    """Classes with a schema only warn about unknown arguments unless they are strict; the others do not know the word."""
    owner = next(base for base in thing.__mro__ if "__init__" in vars(base))
    return {"strict": True} if "InitSchema" in vars(owner) else {}


def _brief(error: ValueError) -> str:
    """pydantic's faults in one line each; albumentations hands on its text of several."""
    faults = getattr(error.__cause__, "errors", None)
    if faults is None:
        return str(error)
    pairs = [(".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")) for fault in faults()]
    return "; ".join(f"{where}: {what}" if where else what for where, what in pairs)


@cache
def _find_classes() -> dict[str, type]:
    library = _import_library()
    return {
        name: thing
        for name, thing in vars(library).items()
        if inspect.isclass(thing)
        and library.BasicTransform in thing.__mro__  # issubclass asks abstract classes one by one, a quarter of a second in all
        and library.Transform3D not in thing.__mro__
        and name not in _NOT_FOR_USE
    }


def _read_own_signature(name: str) -> inspect.Signature:
    thing = getattr(_import_library(), name)
    parameters = inspect.signature(thing.__init__).parameters
    return inspect.Signature([parameter for key, parameter in parameters.items() if key not in ("self", "strict")])


def _import_library() -> Any:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it looks up its newest version on import otherwise
    import albumentations as library

    return library
