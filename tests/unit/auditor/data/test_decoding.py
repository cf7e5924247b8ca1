"""Pictures read in batches are, to the bit, those that Pillow reads one by one."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from auditor.data import decoding, images
from auditor.data.decoding import batch_pictures, decode, read_pictures
from auditor.errors import DataError
from auditor.resizing import InputSize, Resizing, resize_picture, upsample, upsamples_exactly

SIZE = (256, 128)


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # of decoding too
    yield
    torch.set_num_threads(before)


def person(seed, height=128, width=64, mode="RGB"):
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def plainly(path, size):
    """As Pillow alone reads a picture."""
    picture = Image.open(path)
    how = getattr(size, "resizing", Resizing())
    if how.turn and picture.getexif().get(0x0112) == 6:
        picture = picture.transpose(Image.Transpose.ROTATE_270)
    return torch.tensor(np.asarray(resize_picture(picture.convert("RGB"), size))).permute(2, 0, 1)


def save(folder, name, picture, **options):
    picture.save(folder / name, **options)
    return folder / name


@pytest.fixture
def files(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    return [
        *(save(tmp_path, f"{n}.jpg", person(n), quality=80 + n) for n in range(12)),
        save(tmp_path, "full.jpg", person(20), quality=95, subsampling=0),
        save(tmp_path, "progressive.jpg", person(21), progressive=True),
        save(tmp_path, "turned.jpg", person(22), exif=turned),
        save(tmp_path, "grey.jpg", person(23, mode="L")),
        save(tmp_path, "inks.jpg", person(24, mode="CMYK")),
        save(tmp_path, "palette.png", person(25, mode="P")),
        save(tmp_path, "clear.png", person(26, mode="RGBA")),
        save(tmp_path, "odd.jpg", person(27, 120, 56)),
        save(tmp_path, "half.jpg", person(28, 256, 64)),
        save(tmp_path, "whole.jpg", person(29, 256, 128)),
        save(tmp_path, "large.jpg", person(30, 1024, 512)),
        save(tmp_path, "last.bmp", person(31)),
    ]


@pytest.mark.parametrize(
    "size",
    [
        SIZE,
        (128, 64),
        (64, 32),
        (384, 128),
        InputSize(*SIZE, Resizing(turn=True)),
        InputSize(*SIZE, Resizing(interpolation="bicubic")),
        InputSize(*SIZE, Resizing(antialias=False)),
        InputSize(*SIZE, Resizing(letterbox=True)),
    ],
    ids=str,
)
def test_every_picture_is_as_pillow_reads_it(files, size):
    read = batch_pictures(read_pictures(files, size), size)
    assert (read.dtype, read.shape) == (torch.uint8, (len(files), 3, *size))
    for file, picture in zip(files, read, strict=True):
        assert torch.equal(picture, plainly(file, size)), file.name


def test_crops_of_half_the_size_are_resized_together(files, monkeypatch):
    """Or else the test above compares Pillow with itself."""
    together = []

    def counting(pixels, size):
        together.append(len(pixels))
        return upsample(pixels, size)

    monkeypatch.setattr(decoding, "upsample", counting)
    batch_pictures(read_pictures(files, SIZE), SIZE)
    assert sorted(together) == [1, 20]


def test_only_whole_powers_of_two_are_exact():
    assert upsamples_exactly((128, 64), SIZE)
    assert upsamples_exactly((64, 128), SIZE)
    assert upsamples_exactly(SIZE, SIZE)
    for have in ((256, 256), (100, 64), (128, 0o60), (512, 256)):
        assert not upsamples_exactly(have, SIZE), have
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (8, 128), (32, 16), (64, 128), (5, 7)):
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for high, wide in ((1, 2), (2, 2), (4, 1), (8, 4), (8, 8)):
            size = (height * high, width * wide)
            mine = upsample(torch.tensor(noise).permute(2, 0, 1)[None], size)[0].permute(1, 2, 0)
            theirs = resize_picture(Image.fromarray(noise), size)
            assert np.array_equal(mine.numpy(), np.asarray(theirs)), (size, (height, width))


def test_a_damaged_picture_is_refused_by_name_wherever_it_stands(files, tmp_path):
    content = files[0].read_bytes()
    broken = tmp_path / "broken.jpg"
    for damaged in (content[: len(content) // 2], content[:30], b"", b"GIF89a"):
        broken.write_bytes(damaged)
        with pytest.raises(DataError, match=r"broken\.jpg is not a readable picture"):
            read_pictures([*files, broken], SIZE)
        with pytest.raises(DataError, match=r"broken\.jpg"):
            decode(broken)
    with pytest.raises(DataError, match=r"gone\.jpg"):
        read_pictures([tmp_path / "gone.jpg"], SIZE)


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    file = BytesIO()
    person(0).save(file, "JPEG")
    content = bytearray(file.getvalue())
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = (5_000).to_bytes(2, "big") * 2
    (tmp_path / "bomb.jpg").write_bytes(content)
    with pytest.raises(DataError, match="5000×5000 pixels, too many for a crop"):
        read_pictures([tmp_path / "bomb.jpg"], SIZE)


def test_no_pictures_are_none():
    assert batch_pictures(read_pictures([], SIZE), SIZE).shape == (0, 3, *SIZE)


def test_plug_ins_still_find_the_decoder_beside_the_images():
    assert images.decode is decode
