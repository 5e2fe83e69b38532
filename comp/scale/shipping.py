"""Shipping: what a node needs to train folds of a run where it does not see the workspace, packed here and opened there.

Tables, folds, image stores and what the run resolved to are goods, which a node fetches once and keeps under their SHA-256; the
workspace's code is Ray's runtime environment. What is opened there is a workspace of its own, for as long as a fold trains.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from filelock import FileLock, Timeout
from pyarrow import ArrowException

from comp import __version__
from comp.adopt import check_files
from comp.api import Tables
from comp.competition import Competition
from comp.errors import RunError, WorkspaceError
from comp.events import Emit
from comp.finished import read_run_folds
from comp.lineage import read_task
from comp.manifest import load_resolved
from comp.plan import Place, RunPlan
from comp.project import COMPETITION_FILE, MANIFEST_FILE, Project
from comp.runs import Run, fold_folder
from comp.scale.courier import Courier, fetch_goods
from comp.scale.shelves import Content, Depot, DepotShelf, StorageShelf, describe_file
from comp.train import train_folds

if TYPE_CHECKING:
    from comp.stores.stored import ImageStore

NODE_FOLDER = "COMP_NODE_FOLDER"
"""The environment variable that says where a node keeps goods; without it, in its folder for temporary files."""

CODE = "workspace"
TABLE_FACTS = ("id_column", "targets", "separator", "auxiliary", "weight", "columns", "views")
RUN_FILES = ("manifest.resolved.yaml", "folds.csv", "environment.json")


@dataclass(frozen=True)
class Shipment:
    """What a fold is trained from. Plain data.

    Attributes:
        name, digest, place: the run.
        state: what it states about itself (environment.json).
        facts: of its tables, those that are no rows.
        dtypes: train, test -> column -> its type.
        goods: a file's place in the workspace that is opened on a node -> what it holds.
        stores: train, test -> the image store's folder in that workspace.
        storage: the URI where folds are kept meanwhile; None: the machine of the run.
        profile: whether folds measure where their time goes.
    """

    name: str
    digest: str
    place: Place
    state: Mapping[str, Any]
    facts: Mapping[str, Any]
    dtypes: Mapping[str, Mapping[str, str]]
    goods: Mapping[str, Content]
    stores: Mapping[str, str]
    storage: str | None = None
    profile: bool = False

    @property
    def folder(self) -> Path:
        """The run's, in a workspace."""
        return Path("experiments") / self.name / self.place / self.digest


@dataclass(frozen=True)
class ShippedOrder:
    """One fold of a shipment. `depot`: the actor that has its goods."""

    shipment: Shipment
    depot: Any
    fold: str


# ---- where the workspace is ----------------------------------------------------------------------------------------------


def refuse_shipping(plan: RunPlan) -> None:
    """Raises: WorkspaceError: what this run reads besides its tables and images; all of it."""
    values, further = plan.manifest.values, plan.further
    needs = {
        "init": plan.start,
        "teachers": plan.teachers,
        "extra": further.extra,
        "fixes.csv": further.fixes,
        "train.devices": values["train"]["devices"] > 1,
        "--debug": plan.debug,
        **plan.manifest.weight_hashes(),
    }
    found = [name for name, needed in needs.items() if needed]
    if found:
        raise WorkspaceError(
            f"--ship sends tables, image stores and code alone; {plan.manifest.name} also needs {', '.join(found)}. Put the "
            "workspace into a folder that all nodes share, and leave --ship out."
        )


def pack(plan: RunPlan, stores: Mapping[str, ImageStore], folder: Path, storage: str | None) -> tuple[Shipment, dict[str, str]]:
    """The shipment, and where its goods lie here: SHA-256 -> path. `folder`: where tables may be written for as long as it lasts.

    Raises:
        WorkspaceError: a store has no room in the cache, so that there is nothing to send; or a table cannot be written.
    """
    tables, run = plan.competition.tables, plan.run
    frames = {"train": tables.train, **({"test": tables.test} if tables.test is not None else {})}
    files = {f".comp/tables/{what}.parquet": write_frame(folder / f"{what}.parquet", frame) for what, frame in frames.items()}
    places = {}
    for what, store in stores.items():
        if not store.stored:
            raise WorkspaceError(f"--ship sends image stores, and that of the {what} images has no room in {plan.project.cache}.")
        places[what] = f".comp/cache/{store.folder.name}"
        files |= {f"{places[what]}/{name}": store.folder / name for name in ("pixels.u8", "store.json")}
    home = Path("experiments") / plan.manifest.name / plan.place / run.digest
    records = [Path(fold_folder(run.folder, fold).name) / "fold.json" for fold in run.done]  # `full` may need their lengths
    files |= {str(home / name): run.folder / name for name in (*RUN_FILES, *records)}
    goods = {place: describe_file(path) for place, path in files.items()}
    facts = {**{name: getattr(tables, name) for name in TABLE_FACTS}, "facts": dict(tables.facts)}
    dtypes = {what: {name: str(dtype) for name, dtype in frame.dtypes.items()} for what, frame in frames.items()}
    wishes = {"storage": storage, "profile": plan.profile}
    shipment = Shipment(plan.manifest.name, run.digest, plan.place, run.state, facts, dtypes, goods, places, **wishes)
    return shipment, {goods[place].sha256: str(path) for place, path in files.items()}


def write_frame(path: Path, frame: pd.DataFrame) -> Path:
    try:
        frame.to_parquet(path, index=False)
        same = pd.read_parquet(path).astype(frame.dtypes).equals(frame)
    except (ArrowException, ValueError, TypeError):
        same = False
    if not same:
        raise WorkspaceError(f"--ship: the {path.stem} table does not come back from Parquet as it was; share a folder instead.")
    return path


def build_stores(plan: RunPlan, emit: Emit, stop: Callable[[], bool]) -> dict[str, ImageStore]:
    """The image stores that folds of the run are trained from, built here where they are not there yet.

    Raises:
        ImageError: as comp.material.open_material.
    """
    from comp.engine.sizes import plan_image
    from comp.material import drop_bad, mend_test, read_store, stoppable, tell_filled

    tables, on_bad = plan.competition.tables, plan.manifest.values["on_bad_image"]
    image, tell = plan_image(plan.manifest, plan.competition.trained, plan.run.state["form"]["channels"]), stoppable(emit, stop)
    stores = {"train": read_store(plan, tell, tables.train, image, "train", on_bad)}
    drop_bad(plan, tables.train, stores["train"], tell)
    if tables.test is not None and len(tables.test) and plan.place != "trials":
        stores["test"] = read_store(plan, tell, tables.test, image, "test", mend_test(on_bad))
        tell_filled(tables.test, stores["test"], tell)
    return stores


def copy_code(plan: RunPlan, folder: Path) -> dict[str, Any]:
    """Ray's runtime environment with the workspace's code and manifests, copied to `folder`."""
    root = plan.project.root
    patterns = ["*.py", "plugins/**/*.py", "experiments/*/*.py", f"experiments/*/{MANIFEST_FILE}"]
    for parent in plan.manifest.parents:
        name, _, digest = parent.partition("@")
        patterns += [f"experiments/{name}/*/{digest}/manifest.resolved.yaml"] if digest else []
    for file in [root / COMPETITION_FILE, *(file for pattern in patterns for file in root.glob(pattern))]:
        target = folder / CODE / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return {"working_dir": str(folder)}


@contextmanager
def open_depot(shipment: Shipment, run: Run, goods: Mapping[str, str], home: str) -> Iterator[Callable[[str], ShippedOrder]]:
    """Makes orders for folds, as long as the actor that serves them lives. `home`: the node that this process runs on."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(home, soft=False)
    depot = ray.remote(num_cpus=0, scheduling_strategy=here)(Depot).remote(str(run.folder.resolve()), goods)
    try:
        yield lambda fold: ShippedOrder(shipment, depot, fold)
    finally:
        ray.kill(depot)


def bring_home(shipment: Shipment, run: Run, fold: str) -> None:
    """A fold that is done comes from the storage into the run's folder.

    Raises:
        RunError: a file of it is not what the fold wrote.
    """
    target = fold_folder(run.folder, fold)
    shelf = open_shelf(shipment, None, target.name)
    for name in shelf.list():
        shelf.load(name, target / name)
    if broken := check_files(target):
        (target / "fold.json").unlink()
        raise RunError("\n".join([*broken, f"{shipment.storage} did not keep it; the same command trains fold {fold} anew."]))


# ---- on a node -----------------------------------------------------------------------------------------------------------


def train_shipped(order: ShippedOrder, emit: Emit, stop: Callable[[], bool]) -> None:
    """Train an order's fold in a workspace that is made of the shipment, from what its shelf has of it.

    Raises:
        WorkspaceError: no room; or another comp, or other plugins, than where the run was opened.
    """
    kept = Path(os.environ.get(NODE_FOLDER) or Path(tempfile.gettempdir()) / f"comp-{getpass.getuser()}")
    fetch_goods(order.depot, order.shipment.goods, kept / "goods")
    with open_workspace(kept) as root:
        plan = open_shipment(order.shipment, root, kept / "goods")
        folder = fold_folder(plan.run.folder, order.fold)
        with Courier(open_shelf(order.shipment, order.depot, folder.name), folder):
            train_folds(plan, [order.fold], emit, stop)
        if not (folder / "fold.json").exists():
            raise RunError(f"fold {order.fold} ended without its files")


def open_shelf(shipment: Shipment, depot: Any, folder: str) -> DepotShelf | StorageShelf:
    """Where a fold is kept meanwhile."""
    if shipment.storage is None:
        return DepotShelf(depot, folder)
    return StorageShelf(shipment.storage, shipment.name, shipment.digest, folder)


@contextmanager
def open_workspace(kept: Path) -> Iterator[Path]:
    """A new folder below `kept` with the workspace's code; gone at the end. What killed processes left goes first."""
    kept.mkdir(parents=True, exist_ok=True)
    for lock in kept.glob("*.lock"):
        with contextlib.suppress(Timeout), FileLock(lock).acquire(blocking=False):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
    root = Path(tempfile.mkdtemp(dir=kept, prefix="work-"))
    with FileLock(root.with_suffix(".lock")):
        try:
            shutil.copytree(Path.cwd() / CODE, root, dirs_exist_ok=True)
            yield root
        finally:
            shutil.rmtree(root, ignore_errors=True)
            root.with_suffix(".lock").unlink(missing_ok=True)


def open_shipment(shipment: Shipment, root: Path, goods: Path) -> RunPlan:
    """The plan of the shipment's run in a workspace that has the code. `goods`: where what was fetched lies."""
    for place, content in shipment.goods.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).symlink_to(goods / content.sha256)
    project, run = Project(root), Run(shipment.name, shipment.digest, root / shipment.folder, dict(shipment.state))
    manifest = load_resolved(project, shipment.name, run.folder / "manifest.resolved.yaml")
    if manifest.digest(run.state["contents"]) != run.digest:
        raise WorkspaceError(
            f"comp {__version__} or its plugins here are others than those that run {run.digest} was opened with; every node "
            "needs the same."
        )
    frames = {
        what: pd.read_parquet(root / f".comp/tables/{what}.parquet").astype(dict(dtypes))
        for what, dtypes in shipment.dtypes.items()
    }
    tables = Tables(train=frames["train"], test=frames.get("test"), sample=None, files=(), root=root, **shipment.facts)
    competition = Competition(root, tables, read_task(run), root.name)
    stores = {what: root / place for what, place in shipment.stores.items()}
    folds, more = read_run_folds(run), {"stores": stores, "profile": shipment.profile}
    return RunPlan(project, manifest, competition, folds, run, shipment.place, **more)
