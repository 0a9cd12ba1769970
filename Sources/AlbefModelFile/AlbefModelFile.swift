// AlbefModelFile
