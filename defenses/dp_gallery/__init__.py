"""Noise on the stored gallery, with its privacy claimed, certified and audited."""

from defenses.dp_gallery.gallery_noise import GalleryNoise as GalleryNoise
