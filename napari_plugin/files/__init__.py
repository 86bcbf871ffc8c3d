"""Reading and writing files: dataset folders, masks, volumes, DICOM."""
