// AlbefExport
