"""Dicoms: a drawing as a DICOM file, as hospitals send them: 12 or 16 bits in 16, white or black paper, plain or JPEG 2000."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"


def write_dicom(path: Path, ink: np.ndarray, bits: int = 16, inverted: bool = False, jpeg2000: bool = False) -> None:
    """(H, W) in 0 (dark) to 1 (bright), or (H, W, 3) uint8 of colours, as a file; `inverted`: MONOCHROME1 (0 is bright)."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = MAMMOGRAM
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    file.Modality, file.PatientID = "MG", path.parent.name
    file.Rows, file.Columns = ink.shape[:2]
    if ink.ndim == 3:
        add_colours(file, ink)
    else:
        add_greys(file, 1 - ink if inverted else ink, bits, "MONOCHROME1" if inverted else "MONOCHROME2")
    if jpeg2000:
        file.compress(JPEG2000Lossless)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)


def add_greys(file: Dataset, values: np.ndarray, bits: int, meaning: str) -> None:
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, meaning
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, bits, bits - 1, 0
    file.PixelData = np.rint(values * (2**bits - 1)).astype("<u2").tobytes()


def add_colours(file: Dataset, colours: np.ndarray) -> None:
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PlanarConfiguration = 3, "RGB", 0
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    file.PixelData = colours.tobytes()
