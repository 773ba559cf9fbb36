from gdws_explorer.utils.cache_folder import default_folder


def test_it_is_the_users_and_ours(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # Linux; elsewhere it changes nothing
    assert default_folder().name == "gdws-explorer"
    assert default_folder().is_absolute()
