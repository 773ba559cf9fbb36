"""Images in rows with predictions."""

from __future__ import annotations

import numpy as np

from gdws_explorer.figures import adversarial_images


def test_the_sheet_holds_every_image_and_marks_wrong_predictions() -> None:
    pictures = np.random.default_rng(0).random((3, 1, 8, 6)).round(2)
    labels = [4, 5, 6]
    data = adversarial_images.info(
        {"first": (pictures, labels), "second": (pictures, [4, 0, 6])}, labels
    )
    assert np.array_equal(data.canvas[:8, :6], pictures[0, 0])
    assert np.array_equal(data.canvas[11:19, 18:24], pictures[2, 0])
    assert data.correct.tolist() == [[True] * 3, [True, False, True]]
    texts = [note.text for note in adversarial_images.figure(data).layout.annotations]
    assert "first" in texts
    assert [text for text in texts if "✗" in text] == ["<b>0 ✗</b>"]


def test_colour_images_are_drawn_by_their_mean() -> None:
    pictures = np.zeros((1, 3, 4, 4))
    pictures[:, 0] = 0.9
    data = adversarial_images.info({"one": (pictures, [1])}, [1])
    assert np.allclose(data.canvas[:4, :4], 0.3)
