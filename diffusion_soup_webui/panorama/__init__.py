"""Panoramas in the WebUI: regions with prompts of their own, sampled tile by tile on one canvas.

``script`` is what the host calls; ``run`` is around its sampler; ``denoiser`` makes a step of tiles; ``prompts`` has
the host encode what regions say; ``controls`` cuts ControlNets' pictures; ``wrap`` decodes without a seam; ``ui`` is
the page.
"""
