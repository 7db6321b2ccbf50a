"""YAML <-> Sweep, with line numbers."""

from hpsearch.sweepfile.dumping import dump, schema
from hpsearch.sweepfile.loading import load, loads, parse
from hpsearch.sweepfile.starter import SCHEMA_NAME, STARTER

__all__ = ["SCHEMA_NAME", "STARTER", "dump", "load", "loads", "parse", "schema"]
