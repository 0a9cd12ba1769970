// AlbefFiles
