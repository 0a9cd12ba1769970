import Albef
import ArgumentParser

extension GroundingMode: ExpressibleByArgument {}
