"""comp.families: names and arguments of the libraries behind plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Sheets

FAMILY = '''from __future__ import annotations
import inspect
from comp.api import plugin

def names():
    return ["Blur", "Noise"]

def signature(name, arguments):
    def Blur(size, p=0.5): ...
    def Noise(**kwargs): ...
    if name == "Noise" and "level" not in arguments:
        raise TypeError("Noise.__init__() got an unexpected keyword argument 'levl'")
    return inspect.signature({"Blur": Blur, "Noise": Noise}[name])

@plugin("augment", family="L.", names="names", signature="signature")
def library(name, image, /, **arguments):
    "x"

@plugin("sampler", family="method", names="names", signature="signature")
def keyed(task, targets, /, *, method: str = "Noise", own: int = 1, **arguments):
    "x"
'''  # fmt: skip


def test_a_librarys_names_and_arguments_are_asked_only_where_wanted(sheets: Sheets) -> None:
    sheets.write("exp001", "")
    (sheets.project.experiments / "exp001" / "library.py").write_text(FAMILY)
    text = """\
augment:
  - {use: L.Blur, size: 3}
  - {use: L.Blur, siz: 3}
  - {use: L.Blurr}
  - {use: L.Noise, levl: 1}
  - {use: L.Noise, level: 1, other: 2}
sampler: {use: keyed, method: blur, own: 2}
"""
    assert sheets.load(text).values["augment"][1] == {"use": "L.Blur", "siz": 3}
    assert sheets.list_faults(text, library=True) == [
        "3 augment.1.siz: 'Blur' has no parameter 'siz'; did you mean 'size'?",
        "3 augment.1.size: 'Blur' needs 'size'",
        "4 augment.2.use: there is no augment 'L.Blurr'; did you mean 'L.Blur'?",
        "5 augment.3.levl: Noise: Noise.__init__() got an unexpected keyword argument 'levl'",
        "7 sampler.method: keyed has no 'blur'; did you mean 'Blur'?",
    ]


def test_a_family_whose_library_is_missing(sheets: Sheets) -> None:
    sheets.write("exp001", "")
    (sheets.project.experiments / "exp001" / "library.py").write_text(
        FAMILY.replace("import inspect", "import inspect, not_installed_here")
    )
    (fault,) = sheets.list_faults("augment: [{use: L.Blur}]\n", library=True)
    assert "library.py:2 cannot be imported: ModuleNotFoundError: No module named 'not_installed_here'" in fault
