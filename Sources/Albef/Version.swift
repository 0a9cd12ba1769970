/// The release of library and commands, as `--version` prints it. Follows semantic versioning.
public let albefVersion = "0.1.0"
