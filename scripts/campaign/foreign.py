"""Small data sets of other tools that are whole, for `mutated_inputs.py` to damage."""

from pathlib import Path

import numpy as np

PICTURES = ("coco", "cvat", "labelme", "label_studio", "geojson", "voc", "folders")
VOLUMES = ("decathlon", "monai", "slicer")


def make(home: Path) -> None:
    """Write a folder for each format, beside the material that they are exports of."""
    from keras_robust.data import export_dataset

    for formats, base in ((PICTURES, "pictures"), (VOLUMES, "volumes")):
        for name in formats:
            export_dataset(home / base, home / f"from-{name}", name, annotator="anna")
    _dicom(home)


def _dicom(home: Path) -> None:
    """A series with a segmentation and a structure set."""
    from keras_robust.data import export_dataset, import_dataset, write_mask_like

    _slices(home / "series/scan")
    import_dataset(home / "series", home / "series-data")
    image = home / "series-data/images/scan.nii.gz"
    mask = np.zeros((12, 10, 4), np.uint8)
    mask[3:9, 2:7, 1:3] = 1
    write_mask_like(home / "series-data/masks/anna/scan.nii.gz", mask, image)
    manifest = home / "series-data/manifest.csv"
    header, row = manifest.read_text().splitlines()
    row = row.replace(".nii.gz,,,", ".nii.gz,masks/anna/scan.nii.gz,anna,", 1)
    manifest.write_text(f"{header}\n{row}\n")
    for name in ("dicom_seg", "rtstruct"):
        export_dataset(home / "series-data", home / f"from-{name}", name)


def _slices(folder: Path) -> None:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir(parents=True)
    for number in range(4):
        voxels = np.random.default_rng(number).integers(0, 2000, (10, 12)).astype(np.int16)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = f"1.2.9.{number + 1}"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "A^B", "7", "", ""
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.4"
        ds.FrameOfReferenceUID, ds.Modality = "1.2.5", "CT"
        ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20200101", "000000", "", ""
        ds.ReferringPhysicianName, ds.Manufacturer, ds.PositionReferenceIndicator = "", "", ""
        ds.SeriesNumber, ds.InstanceNumber, ds.Laterality = 1, number + 1, ""
        ds.Rows, ds.Columns = voxels.shape
        ds.PixelSpacing, ds.SliceThickness = [0.5, 0.75], 2.5
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-10, -20, 30 + 2.5 * number]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation = 15, 1
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1000
        ds.PixelData = voxels.tobytes()
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)
