"""An array module that is numpy inside and as strict as cupy: device and host do not mix unasked."""

from types import SimpleNamespace

import numpy as np


class DeviceArray(np.ndarray):
    """As an array of cupy: it refuses numpy's functions, and operations with numpy's arrays."""

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"numpy.{function.__name__} was given an array of the device")

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if any(type(x) is np.ndarray and x.ndim for x in inputs):
            raise TypeError(f"numpy.{ufunc.__name__} was given arrays of host and device")
        if out is not None:
            options["out"] = tuple(x.view(np.ndarray) for x in out)
        found = getattr(ufunc, method)(*map(on_host, inputs), **options)
        return out[0] if out is not None else np.asarray(found).view(DeviceArray)


class Device:
    """numpy's functions for such arrays."""

    def __getattr__(self, name):
        function = getattr(np, name)
        if name == "linalg":
            return SimpleNamespace(
                **{f: self.wrapped(getattr(function, f)) for f in ("eigh", "eigvalsh", "pinv")}
            )
        return self.wrapped(function) if callable(function) and not isinstance(function, type) else function

    @staticmethod
    def wrapped(function):
        """The function on the host, for arrays of the device."""

        def call(*args, **options):
            found = function(*map(on_host, args), **{k: on_host(v) for k, v in options.items()})
            if isinstance(found, tuple):
                return tuple(x.view(DeviceArray) for x in found)
            return found.view(DeviceArray) if isinstance(found, np.ndarray) else found

        return call


def on_host(x):
    return x.view(np.ndarray) if isinstance(x, DeviceArray) else x
