"""Installs studperf. Everything it says is read from settings.ini."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
config = ConfigParser(delimiters=["="])
config.read(here / "settings.ini", encoding="utf-8")
settings = config["DEFAULT"]


def requirements(key):
    return settings.get(key, "").split("\n")[1:] if "\n" in settings.get(key, "") else settings.get(key, "").split()


extras = {extra: requirements(f"{extra}_requirements") for extra in ("bench", "boost", "cluster", "dashboard", "dev", "lab", "privacy", "s3", "sql")}
extras["all"] = sorted({*extras["dashboard"], *extras["lab"]})  # the whole package; the other extras are for those who have the need
extras["dev"] += extras["all"]


setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    url=settings["git_url"],
    author=settings["author"],
    author_email=settings["author_email"],
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=settings["keywords"].split(),
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering",
    ],
    python_requires=f">={settings['min_python']}",
    packages=find_packages(include=["studperf", "studperf.*"]),
    package_data={"studperf": ["py.typed", "__init__.pyi", "assets/**/*"]},
    install_requires=requirements("requirements"),
    extras_require=extras,
    entry_points={
        "console_scripts": settings["console_scripts"].split(),
        "nbdev": ["studperf=studperf._modidx:d"],
    },
    zip_safe=False,
)
