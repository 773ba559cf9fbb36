"""The files that say what to install agree with each other and with what is installed."""

import re
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from rattler import MatchSpec


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def constraints(root):
    lines = (root / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): one.specifier for one in found}


@pytest.fixture(scope="module")
def environment(root):
    return yaml.safe_load((root / "environment.yml").read_text())


def declared(project):
    """Every requirement of the project and its extras, itself left out."""
    lines = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        lines += extra
    found = [Requirement(line) for line in lines]
    return [one for one in found if canonicalize_name(one.name) != project["name"]]


def test_conda_gives_python_and_pip(environment, project):
    conda = [line for line in environment["dependencies"] if isinstance(line, str)]
    specs = {
        spec.name.normalized: spec for spec in (MatchSpec(line, strict=True) for line in conda)
    }
    assert set(specs) == {"python", "pip"}
    assert SpecifierSet(str(specs["python"].version)) == SpecifierSet(project["requires-python"])


def test_pip_gives_the_rest_in_tested_versions(environment, project):
    (pip,) = [line["pip"] for line in environment["dependencies"] if isinstance(line, dict)]
    assert pip[0] == "-c constraints.txt"
    (extras,) = re.fullmatch(r"-e \.\[(.+)\]", pip[1]).groups()
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert len(pip) == 2


def test_make_and_conda_install_the_same_extras(root, environment):
    (pip,) = [line["pip"] for line in environment["dependencies"] if isinstance(line, dict)]
    assert pip[1].removeprefix("-e ") in (root / "Makefile").read_text()


def test_every_declared_dependency_has_a_tested_version(project, constraints):
    for requirement in declared(project):
        name = canonicalize_name(requirement.name)
        assert name in constraints, f"{name} is missing in constraints.txt"
        (pin,) = constraints[name]
        assert pin.operator == "=="
        assert "+" not in pin.version, f"{name}: a local version resolves on one machine only"
        assert requirement.specifier.contains(pin.version), f"{requirement} excludes {pin}"


def test_ranges_are_open(project):
    for requirement in declared(project):
        operators = {one.operator for one in requirement.specifier}
        # torchattacks alone has a ceiling; pyproject.toml says why
        assert operators == {">="} or requirement.name == "torchattacks", str(requirement)


def test_what_is_installed_is_what_was_tested(project, constraints):
    for requirement in declared(project):
        name = canonicalize_name(requirement.name)
        assert constraints[name].contains(Version(metadata.version(name)).public), name


def test_citation_names_the_project_and_both_papers(root, project):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    papers = {paper["url"].rsplit("/", 1)[-1]: paper for paper in citation["references"]}
    assert set(papers) == {"2110.14871", "2212.01957"}
    families = [author["family-names"] for author in papers["2110.14871"]["authors"]]
    assert families == ["Dbouk", "Shanbhag"]
    assert len(papers["2212.01957"]["authors"]) == 5


def test_changelog_and_package_know_the_version(root, project):
    assert f"{project['version']}" in (root / "CHANGELOG.md").read_text()
    assert metadata.version("gdws-explorer") == project["version"]


def test_readme_gives_the_two_commands(root):
    text = (root / "README.md").read_text()
    assert text.index("make lab") < text.index("make test")
    assert "-c constraints.txt" in text


@pytest.mark.parametrize(("job", "command"), [("run", "make test"), ("quick", "make quick")])
def test_ci_runs_the_readmes_commands(root, job, command):
    script = root / ".ci" / job
    assert f"exec {command} <" in script.read_text()
    assert script.stat().st_mode & 0o111


def test_lint_comes_before_the_tests(root):
    rules = (root / "Makefile").read_text()
    for target in ("test", "quick"):
        needs = re.search(rf"^{target}: (.*)$", rules, re.MULTILINE)[1].split()
        assert needs[0] == "lint"
