"""What `gx.explore` opens on."""

import dataclasses

import gdws_explorer as gx
from gdws_explorer.study.storage.store import Store


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


def test_a_store_of_the_users_own_stays_open():
    store = Store()
    for _ in range(2):
        explorer = gx.explore("digits", storage=store)
        explorer.session.measure_with(gx.FGSM(0.15), 10)
        explorer.session.evaluate()
        explorer.session.jobs.wait(60)
        explorer.close()
    assert len(store.records()) == 1
