"""Dataset `csv`: a table of training rows, images, and a sample submission, as competitions hand them out.

Everything is read as text, exactly as written: `007` stays `007`, a class may be called `NA`. What the labels mean is the
kit's business (comp.competition); decoding image files too. A named image that is not there keeps the path where it was
expected, and the kit says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pandas as pd

from comp.api import STACK, DataError, Tables, plugin

from ._columns import Columns, Stacking, choose_stacking
from ._formulas import Formulas
from ._implied import add_id, add_names, drop_repeated, join_one_hot, match_columns
from ._long import list_units, widen_rows
from ._places import KNOWN_SUFFIXES, Places, place_inside
from ._reading import BandsOfTable, PixelWishes, make_reader
from ._spread import spread_rows
from ._tables import Sheet, names_table, read_sheet


@plugin("dataset")
def csv(
    root: Path,
    facts: Mapping[str, Any] | None = None,
    /,
    *,
    data: str = ".",
    train: str = "train.csv",
    test: str | None = None,
    sample: str | None = None,
    images: str = "train_images",
    test_images: str | None = None,
    id: str = "id",  # noqa: A002 (the manifest's word)
    row: str | None = None,
    repeated: Literal["error", "first", "drop"] = "error",
    long: str | None = None,
    target: str | list[str] = "label",
    one_hot: str | None = None,
    separator: str | None = None,
    auxiliary: list[str] = [],  # noqa: B006 (a literal, as a signature that is a schema needs)
    weight: str | None = None,
    columns: list[str] = [],  # noqa: B006
    derive: list[str] = [],  # noqa: B006
    folders: str | None = None,
    image: str | None = None,
    extension: str | None = None,
    stack: list[str] | None = None,
    bag: int = 0,
    neighbours: int = 0,
    series: str | None = None,
    order: str | None = None,
    bands: list[str] | None = None,
    range: Literal["auto", "image"] | list[float] | None = None,  # noqa: A002
    layout: Literal["auto", "hwc", "chw"] = "auto",
    planes: list[int] | None = None,
    window: Literal["auto", "image"] | list[float] = "auto",
) -> Tables:
    """A training table (CSV, TSV, Parquet, JSON, COCO), images in folders, archives or arrays, and a sample submission.

    Images are found by looking: what `image` (or else the id) says, with or without an extension, is sought in the folder,
    then below it by name alone; a path may begin with the folder itself. Files are JPEG, PNG, TIFF and what else the kit
    decodes, or .npy, .npz and DICOM. Floats and deep integers of arrays become 8 bits as `range` says, uint8 stays.

    Args:
        data: folder of the competition's files; relative to the workspace, or absolute.
        train: the training table; its ending says the form: .csv, .tsv, .parquet, .json (records, or COCO). It may be packed, as
            any table: train.json.7z (extra `archives`), train.csv.zip, train.csv.gz.
        test: the test table. Null, or a file that is not there: the test set is what the sample lists.
        sample: the sample submission, or null.
        images: the training images: a folder, a zip, a plain tar, an .npz by id, or one array of all, in the table's order.
        test_images: the same of the test images; null: the same as `images`. Not there, or empty: no test set yet.
        id: column of the id that one answer belongs to; or what it is put together of, as in "{patient_id}_{laterality}" (where
            the test table has the sample's ids in a column, that is taken).
        row: column of a row's own name, where several rows (images) make one unit; null: each row is a unit.
        repeated: training rows of an id that stands twice, without `row`: an error, the first is kept, or all are dropped.
        long: what joins unit and label in the ids, where the training table has a row for each label (ID_12_any: "_"), or null.
        target: column of the target, or a list of columns.
        one_hot: name for the one target that 0/1 columns become, of which each row has a single 1; null: they are labels.
        separator: what joins the labels where a target holds sets of them, e.g. " ".
        auxiliary: columns that are trained as targets, too, and not scored.
        weight: column that says how much a training row counts, from 0; null: all the same.
        columns: columns of both tables that a model may join to the image features, e.g. [age, sex]; or patterns, [margin*].
        derive: further columns worked out of others, one after another, as in "band = (age >= 30) + (age >= 60)"; texts compare
            as in (sex == 'female'): the training table shows which columns are numbers. Of the test table, where it has them.
        folders: column of a folder of images below `images`: each image in it becomes a row, with its name there, less the
            ending, as column `file`, and `folder/file` as `id` (or `row`), which the table then lacks.
        image: column of the image's path or file name, or what it is put together of, as in "{id}_front"; null, or not in the
            test table: named by the id (or row).
        extension: chooses among files that differ in it, e.g. ".png".
        stack: columns of the images of a row, which are stacked along the channels (or "{id}_red", "{id}_green", …); an empty
            cell is a black image.
        bag: how many rows of a unit become one row of stacked images (of more, some evenly spread), from 2; 0: none. Columns
            that differ within a unit are left out; of targets, weight and `columns` that is an error.
        neighbours: how many slices before and after are stacked around each, from 1; 0: none.
        series: column of the series that slices belong to; null: the id.
        order: column of the place in a bag or series; null: the table's order.
        bands: keys of a JSON table's records that hold the pixels, one channel each.
        range: [lowest, highest] become 0 and 255, in arrays, 16-bit PNG and TIFF; auto: the 0.5th and 99.5th percentile of 64
            training images, by channel; image: each image's own extremes; null: arrays as auto, files as they are.
        layout: the axis of an array's channels: last (hwc), first (chw), or the smallest (auto).
        planes: which channels of an array are kept, from 0, e.g. [0, 2, 4]; null: all.
        window: [centre, width] of DICOM values; auto: the file's own, where it has one; image: each image's own extremes.

    Raises:
        DataError: a table that cannot be read or lacks a column, a path that leads outside, an id twice, no image at all.

    Example: {use: csv, data: data, train: train.csv, test: test.csv, images: train_images, id: image_id, target: label}
    """
    folder = (root / Path(data).expanduser()).resolve()
    if not folder.is_dir():
        raise DataError(f"dataset.data: there is no folder {folder}")
    given = (target,) if isinstance(target, str) else tuple(target)
    wishes = PixelWishes(range, layout, planes, window)
    stacking = choose_stacking(Stacking(bag, neighbours, series, order), stack, row)
    named = tuple(stack) if stack else (image,) if image else ()
    sheet = read_sheet(place_inside(folder, train, "dataset.train"), separator, bands or (), (*given, *auxiliary))
    if long is not None:
        rows, labels = widen_rows(sheet.rows, id, given[0], long, train)
        sheet, given = replace(sheet, rows=rows), tuple(labels)
    targets = given if one_hot is None else (one_hot,)
    if one_hot is not None:
        sheet = replace(sheet, rows=join_one_hot(sheet.rows, given, one_hot, train))
    places = Places(folder, extension)
    if folders is not None:
        sheet = replace(sheet, rows=spread_rows(sheet.rows, folders, row or id, places.index(images, "dataset.images"), train))
    formulas = Formulas(tuple(derive), dict((facts or {}).get("kinds", {})))
    sheet = replace(sheet, rows=formulas.derive(sheet.rows, train))
    sheet = replace(sheet, rows=drop_repeated(sheet.rows, id, repeated if row is None else "error"))
    columns = match_columns(columns, sheet.rows, [id, row, weight, *named, *given, *targets, *auxiliary], train)
    formulas.demand_unlike((*columns, *stacking.columns), (*given, *targets, *auxiliary))
    needed = (*([weight] if weight else []), *columns, *stacking.columns)
    arranged = Columns(id, row, named, (*targets, *auxiliary), needed)
    opener = Opener(places, arranged, stacking, separator, tuple(bands or ()), formulas)
    train_table = opener.open_train(sheet, train, images)
    sample_table = read_sheet(place_inside(folder, sample, "dataset.sample")).rows if sample is not None else None
    later = replace(opener, columns=replace(opener.columns, answers=(), needed=(*columns, *stacking.columns)))
    test_table = later.open_test(test, test_images, images, sample_table, given, auxiliary)
    measured = None if facts is None or set(facts) == {"kinds"} else facts
    read, found = make_reader(folder, wishes, opener.places.holders, list_parts(train_table), measured)
    return Tables(
        train=train_table,
        test=test_table,
        sample=sample_table,
        id_column=name_id(id, sample_table),
        targets=targets,
        files=() if folders else (folder / train,),  # without files, the digest covers the list of rows
        root=folder,
        read=read,
        separator=separator,
        auxiliary=tuple(auxiliary),
        weight=weight,
        columns=tuple(columns),
        views=len(stack) if stack else stacking.views,
        facts=found | ({"kinds": formulas.kinds} if derive else {}),
    )


def name_id(id: str, sample: pd.DataFrame | None) -> str:  # noqa: A002
    """What the id's column is called in a submission."""
    if sample is not None:
        return id if id in sample else str(sample.columns[0])
    return "id" if "{" in id else id


def list_parts(table: pd.DataFrame) -> list[str]:
    """The references of single images."""
    return [part for ref in table["image"].tolist() for part in ref.split(STACK) if part]


@dataclass(frozen=True)
class Opener:
    """Opens tables of rows and finds their images."""

    places: Places
    columns: Columns
    stacking: Stacking
    separator: str | None
    bands: tuple[str, ...]
    formulas: Formulas

    def open_train(self, sheet: Sheet, train: str, images: str) -> pd.DataFrame:
        name = PurePosixPath(train).name
        rows = add_names(add_id(sheet.rows, self.columns.id, name), self.columns.image)
        table = self.columns.arrange(rows, name)
        return self.add_images(table, sheet.bands, train, images, "dataset.images")  # type: ignore[return-value]

    def open_test(
        self, test: str | None, test_images: str | None, images: str, sample: pd.DataFrame | None, *answers: Any
    ) -> pd.DataFrame | None:
        """The test rows with their images; None where there is no test set (no images, or nothing that lists them)."""
        place, key = (images, "dataset.images") if test_images is None else (test_images, "dataset.test_images")
        file = place_inside(self.places.root, test, "dataset.test") if test is not None else None
        if file is not None and file.is_file():
            sheet = read_sheet(file, self.separator, self.bands)
            if not self.bands and not self.places.has_images(place, key):
                return None
            ready = None if sample is None else sample.iloc[:, 0]
            rows = add_id(sheet.rows, self.columns.id, file.name, ready)
            if ready is not None and self.columns.id in rows and (units := list_units(ready, answers[0])) is not None:
                # A row for each target of a unit: its image is one.
                rows = rows.drop_duplicates(self.columns.id) if set(units) == set(rows[self.columns.id]) else rows
            return self.arrange_test(rows, sheet.bands, str(test), place, key, answers)
        if sample is None or not self.places.has_images(place, key):
            return None
        header = self.columns.id if self.columns.id in sample else sample.columns[0]
        units = list_units(sample[header], answers[0])
        rows = add_names(pd.DataFrame({self.columns.id: sample[header] if units is None else units}), self.columns.image)
        columns = replace(self.columns, row=None, image=self.columns.image if set(self.columns.image) <= set(rows) else ())
        table = columns.arrange(rows, "the sample")
        # Among the training images, the sample's may well not be: then the test set has not been handed out.
        return replace(self, columns=columns).add_images(table, None, "the sample", place, key, optional=test_images is None)

    def arrange_test(
        self, rows: pd.DataFrame, bands: Any, name: str, place: str, key: str, answers: Any = ()
    ) -> pd.DataFrame | None:
        rows = rows.drop(columns=[column for group in answers for column in group if column in rows])
        rows = add_names(self.formulas.derive(rows, name, partly=True), self.columns.image)
        there = set(self.columns.image) <= set(rows.columns)
        columns = replace(self.columns, image=self.columns.image if there or len(self.columns.image) > 1 else ())
        table = columns.arrange(rows, PurePosixPath(name).name)
        return replace(self, columns=columns).add_images(table, bands, name, place, key)

    def add_images(
        self, table: pd.DataFrame, bands: Any, name: str, place: str, key: str, optional: bool = False
    ) -> pd.DataFrame | None:
        """The table with each row's reference. `name`: of the table's file, which holds the pictures where there are bands."""
        if bands is not None:
            self.places.holders[name] = BandsOfTable(bands)
            found = [f"{name}/{number}" for number in range(len(table))]
            return self._stack(table.assign(image=found), name)
        named = self.columns.name_images(table)
        each = [self.places.find(texts.tolist(), place, key, PurePosixPath(name).name, optional) for texts in named]
        if any(refs is None for refs in each):
            return None
        joined = each[0] if len(each) == 1 else list(map(STACK.join, zip(*each, strict=True)))  # type: ignore[arg-type]
        return self._stack(table.assign(image=joined), name)

    def _stack(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        told = [column for column in (*self.columns.answers, *self.columns.needed) if column not in self.stacking.columns]
        return self.stacking.arrange(table, PurePosixPath(name).name, tuple(told))


def list_unseen(test: Path, tables: Tables, ids_have_endings: bool, facts: Mapping[str, Any], /, **arguments: Any) -> Tables:
    """A test set that came after a run, in any form that the training set may have: the hook of `comp predict`.

    Args:
        test: a folder or an archive of images, whose names are the ids, or a table with its images beside or below it.
        tables: the competition's; only `id_column` and `columns` are looked at.
        ids_have_endings: whether an image's id bears its file's ending.
        facts: what the run measured on the training images.
        arguments: the plugin's.
    """
    root = test.parent.resolve() if test.is_file() else test.resolve()
    stacking = Stacking(*(arguments[key] for key in ("bag", "neighbours", "series", "order")))
    stack, image = arguments["stack"], arguments["image"]
    named = tuple(stack) if stack else (image,) if image else ()
    needed = (*tables.columns, *stacking.columns)
    columns = Columns(tables.id_column, arguments["row"], named, (), needed)
    places = Places(root, arguments["extension"])
    formulas = Formulas(tuple(arguments.get("derive", ())), dict(facts.get("kinds", {})))
    opener = Opener(places, columns, stacking, arguments["separator"], tuple(arguments["bands"] or ()), formulas)
    if test.is_dir() or not names_table(test.name):
        table = list_place(opener, test.name if test.is_file() else ".", ids_have_endings)
    else:
        sheet = read_sheet(test, arguments["separator"], opener.bands)
        columns = replace(columns, id=columns.id if columns.id in sheet.rows else arguments["id"])
        columns = replace(columns, row=columns.row if columns.row in sheet.rows else None)
        place = next((name for name in (arguments["test_images"],) if name and (root / name).exists()), ".")
        rows = add_id(sheet.rows, columns.id, test.name)
        table = replace(opener, columns=columns).arrange_test(rows, sheet.bands, test.name, place, "--test")
    wishes = PixelWishes(*(arguments[key] for key in ("range", "layout", "planes", "window")))
    read, _ = make_reader(root, wishes, places.holders, list_parts(table), facts)
    return replace(tables, test=table, root=root, read=read, views=len(stack) if stack else stacking.views)


def list_place(opener: Opener, name: str, ids_have_endings: bool) -> pd.DataFrame:
    """A row for each image of a folder or archive."""
    if opener.stacking.views > 1 or len(opener.columns.image) > 1:
        raise DataError("--test: what is stacked with what stands in a table; wanted a table of the rows, not images alone")
    index = opener.places.index(name, "--test")
    paths = [path for path in index.paths if index.numbered or PurePosixPath(path).suffix.lower() in KNOWN_SUFFIXES]
    ids = [path if ids_have_endings or index.numbered else PurePosixPath(path).with_suffix("").as_posix() for path in paths]
    again = pd.Index(ids)[pd.Index(ids).duplicated()]
    if len(again):
        raise DataError(f"{opener.places.root}: two images bear the id {again[0]!r}; wanted one image for each id.")
    return pd.DataFrame({"row_id": ids, "id": ids, "image": [index.prefix + path for path in paths]}, dtype=object)


csv.unseen = list_unseen  # type: ignore[attr-defined]
# How `comp init` reads tables before anything is concluded.
csv.sheet, csv.widen, csv.units = read_sheet, widen_rows, list_units  # type: ignore[attr-defined]
