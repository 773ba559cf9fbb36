"""What `gx.explore` opens on."""

import dataclasses

import gdws_explorer as gx


def test_a_bench_without_images_opens_with_its_records():
    bare = dataclasses.replace(gx.load("digits"), data=None, train_data=None)
    explorer = gx.explore(bare)
    try:
        measurements = explorer.session.measurements
        assert len(measurements.records()) == len(bare.records)
        assert measurements.attack == bare.attack
        assert measurements.n == 360
        state = explorer.state
    finally:
        explorer.close()
    again = gx.explore(bare, state=state)
    assert again.session.plan == explorer.session.plan
    again.close()
