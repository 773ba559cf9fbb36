import torch

from gdws_explorer.training.augment import crop_and_flip


def test_every_image_is_a_crop_of_its_own_padded_self_or_of_its_mirror():
    torch.manual_seed(0)
    x = torch.rand(24, 3, 32, 40)
    moved = crop_and_flip(x)
    assert moved.shape == x.shape
    padded = torch.nn.functional.pad(x, (4, 4, 4, 4))
    offsets, mirrored = set(), 0
    for image, out in zip(padded, moved, strict=True):
        found = [
            (down, across, flip)
            for down in range(9)
            for across in range(9)
            for flip in (False, True)
            if torch.equal(
                out.flip(2) if flip else out, image[:, down : down + 32, across : across + 40]
            )
        ]
        assert len(found) == 1
        offsets.add(found[0][:2])
        mirrored += found[0][2]
    assert len(offsets) > 10
    assert 4 <= mirrored <= 20


def test_small_images_stay_and_the_seed_decides():
    digits = torch.rand(4, 1, 8, 8)
    assert crop_and_flip(digits) is digits
    x = torch.rand(8, 3, 32, 32)
    torch.manual_seed(1)
    first = crop_and_flip(x)
    torch.manual_seed(1)
    assert torch.equal(first, crop_and_flip(x))
    assert not torch.equal(first, crop_and_flip(x))
