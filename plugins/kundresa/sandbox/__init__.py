"""The local peer of every channel: takes what is sent, stores it, shows it, delivers nothing."""

from kundresa.sandbox.process import Sandbox, SandboxError
from kundresa.sandbox.reader import Received, RunCount, counts, received

__all__ = ["Received", "RunCount", "Sandbox", "SandboxError", "counts", "received"]
