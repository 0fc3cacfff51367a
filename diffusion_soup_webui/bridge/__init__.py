"""The only place that touches the WebUI's own modules."""

from __future__ import annotations

from diffusion_soup import SoupError

from .host import Host, Identity, Place

__all__ = ["Host", "Identity", "Place", "connect"]


def connect() -> Host:
    """The host this process is. Raises :class:`SoupError` where it is neither A1111 nor Forge."""
    try:
        from modules import sd_models
    except ImportError as error:
        raise SoupError(f"this is not a WebUI that it knows ({error})") from None
    if hasattr(sd_models, "forge_model_reload"):
        from .forge import ForgeHost
        return ForgeHost()
    if hasattr(sd_models, "reload_model_weights") and not hasattr(sd_models, "FakeInitialModel"):
        from .a1111 import A1111Host
        return A1111Host()
    raise SoupError("this WebUI loads models in a way it does not know; it works with A1111 WebUI 1.8 and newer and "
                    "with Forge")
