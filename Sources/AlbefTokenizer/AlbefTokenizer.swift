// AlbefTokenizer
