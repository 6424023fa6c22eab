"""Find the declarations, load them, and turn what Dagster wraps around an error back into one clear sentence."""

import hashlib
import importlib
import os
import sys
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import dagster as dg
from dagster.components.core.component_tree import ComponentTree
from dagster.components.core.load_defs import PLUGIN_COMPONENT_TYPES_JSON_METADATA_KEY
from dagster.components.core.snapshot import get_package_entry_snap
from dagster_shared.serdes.objects import EnvRegistryKey
from dagster_shared.serdes.objects.package_entry import json_for_all_components
from dagster_shared.utils.config import discover_config_file

from dataset_export.components.documents import first_fault, first_unreadable
from dataset_export.errors import ConfigError, ExportError

DEFS_VARIABLE = "DATASET_EXPORT_DEFS"
"""Environment variable: a folder of declarations to load instead of `dataset_export/defs`. The code location, the
command line and every run worker read it, so it has to be the same for all of them."""

EXAMPLE_MODULE = "dataset_export.defs"

DECLARING = ("defs.yaml", "defs.yml", "*.py")
"""Files that Dagster reads declarations from."""


def project_tree(project_root: Path | None = None, defs_folder: Path | None = None) -> ComponentTree:
    """The declarations below `defs_folder`, not loaded yet.

    Args:
        project_root: what relative paths in the declarations start at. Default: the nearest folder above the
            declarations with a dg project (`[tool.dg]` in pyproject.toml, or dg.toml), else the folder they lie in.
        defs_folder: default: the folder that `DATASET_EXPORT_DEFS` names, else `dataset_export/defs`.

    Raises:
        ConfigError: when there is no such folder, or a file in it is not YAML.
    """
    named = os.environ.get(DEFS_VARIABLE)
    if defs_folder is None and named:
        defs_folder = Path(named).expanduser()
    module = importlib.import_module(EXAMPLE_MODULE) if defs_folder is None else _module_of(defs_folder)
    folder = Path(module.__path__[0])
    if project_root is None:
        config = discover_config_file(folder)
        project_root = config.parent if config is not None else folder.parent
    if (fault := first_unreadable(folder)) is not None:
        raise ConfigError(fault)
    return ComponentTree(defs_module=module, project_root=project_root.absolute())


def load_definitions(project_root: Path | None = None, defs_folder: Path | None = None) -> dg.Definitions:
    """Everything that Dagster shows of the declarations; arguments as for `project_tree`.

    Raises:
        ConfigError: when a declaration is wrong, with its file and line.
    """
    from dataset_export.components.catalog import catalog_of
    from dataset_export.orchestration.alerts import alert_definitions
    from dataset_export.orchestration.handover import tell_notice
    from dataset_export.orchestration.life import life_definitions
    from dataset_export.orchestration.notices import record_notice
    from dataset_export.orchestration.sweep import sweep_definitions
    from dataset_export.orchestration.usage import usage_definitions

    tree = project_tree(project_root, defs_folder)
    with plain_errors(tree.defs_module_path), quiet_definitions():
        # What only shows when declarations meet (a name given twice) is refused first, and clearly.
        catalog = catalog_of(tree)
        dataflows, licenses = list(catalog.dataflows.values()), catalog.licenses
        built = tree.build_defs(tree.defs_module_path)
        return dg.Definitions.merge(
            built,
            sweep_definitions(dataflows),
            life_definitions(dataflows, built, licenses, notify=(record_notice, tell_notice)),
            usage_definitions(licenses),
            alert_definitions(catalog.watched, catalog.channels),
            # Also of runs that are launched from an asset's page.
            dg.Definitions(executor=dg.in_process_executor),
            _documentation(tree),
        )


def _documentation(tree: ComponentTree) -> dg.Definitions:
    """What the UI's page about component types shows: ours.

    Dagster would collect those of every installed library, which imports the SDK of every cloud: 1.4 s at the start of
    every run, against 0.1 s for all the rest of the load.
    """
    from dataset_export.components.schema import COMPONENTS

    keys = [EnvRegistryKey("dataset_export.components", component.__name__) for component in COMPONENTS]
    snaps = [get_package_entry_snap(key, component) for key, component in zip(keys, COMPONENTS, strict=True)]
    metadata = {PLUGIN_COMPONENT_TYPES_JSON_METADATA_KEY: json_for_all_components(snaps)}
    return dg.Definitions(metadata=metadata, component_tree=tree)


@contextmanager
def quiet_definitions() -> Generator[None]:
    """Leave out the warnings that our own definitions cause at every load.

    Partitioned asset checks and observable multi-assets are marked beta or preview in the pinned Dagster version. The
    tests run both, and the version is pinned, so that the warning tells a user nothing to act on.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        yield


@contextmanager
def plain_errors(folder: Path | None = None) -> Generator[None]:
    """Raise the ExportError inside what Dagster wraps around it, and for a document below `folder` that Dagster cannot
    read, a ConfigError.

    Anything else passes as it is: then the cause is a defect, and its traceback is needed.
    """
    try:
        yield
    except Exception as error:
        for cause in _causes(error):
            if isinstance(cause, ExportError):
                raise type(cause)(str(cause)) from None
        if folder is not None and (fault := first_fault(folder)) is not None:
            raise ConfigError(fault) from None
        raise


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__


def _module_of(folder: Path) -> ModuleType:
    """A module that stands for a folder, since Dagster takes declarations from modules only."""
    folder = folder.absolute()
    if not folder.is_dir():
        raise ConfigError(f"the folder of declarations {folder} does not exist; correct {DEFS_VARIABLE} or make it")
    if not any(any(folder.rglob(pattern)) for pattern in DECLARING):
        raise ConfigError(f"nothing is declared in {folder}; write a defs.yaml in a folder below it")
    name = f"dataset_export_defs_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    module = ModuleType(name)
    module.__path__ = [str(folder)]
    module.__file__ = None
    # Python files in the folder are imported relative to it.
    return sys.modules.setdefault(name, module)
