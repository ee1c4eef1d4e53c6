"""`python -m tools.fetch_tools`: what the tests need beside Python packages, at the versions they were made for.

What can be fetched is put into a cache outside the tree, once; what the system's package manager has is named.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from services.settings import user_cache

KAFKA: Final = "4.1.0"
# Apache Kafka's own jars with what they need: the broker is started from them, there is nothing to unpack.
_POM: Final = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ragstone</groupId>
  <artifactId>tools</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA}</version>
    </dependency>
  </dependencies>
</project>
"""
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def main() -> int:
    missing = [sentence for sentence in (_postgresql(), _java(), _kafka()) if sentence]
    for sentence in missing:
        print(sentence, file=sys.stderr)
    return 1 if missing else 0


def cache() -> Path:
    """Where fetched tools are kept."""
    return user_cache() / "ragstone" / "tools"


def postgresql_programs() -> Path | None:
    """The folder of the newest PostgreSQL server's programs: on PATH, or where Debian installs them."""
    on_path = shutil.which("postgres")
    if on_path is not None and shutil.which("initdb") is not None:
        return Path(on_path).resolve().parent
    folders = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


def _postgresql() -> str | None:
    found = postgresql_programs()
    if found is None:
        return "PostgreSQL's server is missing; on Debian: apt-get install postgresql"
    print(f"PostgreSQL: {found}")
    return None


def _java() -> str | None:
    found = shutil.which("java")
    if found is None:
        return "Java 17 or later is missing; on Debian: apt-get install default-jre-headless"
    print(f"Java: {found}")
    return None


def _kafka() -> str | None:
    folder = cache() / f"kafka-{KAFKA}"
    if not any((folder / "lib").glob("kafka_*.jar")):
        if shutil.which("mvn") is None:
            return "Maven is missing, which fetches Kafka; on Debian: apt-get install maven"
        if not _fetch_kafka(folder):
            return f"Kafka {KAFKA} could not be fetched; Maven says above why."
    print(f"Kafka: {folder / 'lib'}")
    return None


def _fetch_kafka(folder: Path) -> bool:
    """All jars or none: they are fetched beside their place and put there together."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as made:
        fetched = Path(made) / "kafka"
        (Path(made) / "pom.xml").write_text(_POM, encoding="utf-8")
        command = ["mvn", "--batch-mode", "--quiet", "--strict-checksums", f"--file={Path(made) / 'pom.xml'}"]
        command += [_COPY, f"-DoutputDirectory={fetched / 'lib'}", "-DincludeScope=runtime"]
        if subprocess.run(command, check=False).returncode:
            return False
        shutil.rmtree(folder, ignore_errors=True)
        fetched.rename(folder)
        return True


if __name__ == "__main__":
    sys.exit(main())
