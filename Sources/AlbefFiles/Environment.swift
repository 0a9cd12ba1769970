import Glibc

/// The value of an environment variable; nil where it is not set.
///
/// Call it before other threads change the environment; the commands read it once, at their start.
public func environmentVariable(_ name: String) -> String? {
    // Safe: getenv gives nil or a C string, which is copied at once.
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
}
