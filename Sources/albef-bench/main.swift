print("albef-infer")
