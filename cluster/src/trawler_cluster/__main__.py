"""The command line: `uv run trawler-cluster up | down | status | env | images | install | …`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from trawler_cluster import shell
from trawler_cluster.choice import choose
from trawler_cluster.cluster_config import MAIN, ClusterConfig
from trawler_cluster.errors import UserError


def _up(options: argparse.Namespace) -> None:
    from trawler_cluster import forwarder

    provider = choose(_config(options))
    provider.up()
    forwarder.ensure(provider)
    shell.say(
        f'The cluster is up. `eval "$(make -s env)"` gives this shell {provider.config.name}.'
    )


def _down(options: argparse.Namespace) -> None:
    choose(_config(options)).down()


def _status(options: argparse.Namespace) -> None:
    provider = choose(_config(options))
    rows = provider.status()
    width = max(len(part) for part, _ in rows)
    for part, state in rows:
        shell.say(f"{part:<{width}}  {state}")


def _env(options: argparse.Namespace) -> None:
    provider = choose(_config(options))
    shell.say(f"export KUBECONFIG={provider.config.kubeconfig}")
    shell.say(f'export PATH="{provider.tools()}:$PATH"')
    shell.say(f"export CONTAINERD_ADDRESS={provider.config.containerd_socket}")
    shell.say("export CONTAINERD_NAMESPACE=k8s.io")


def _images(options: argparse.Namespace) -> None:
    from trawler_cluster import images

    images.load(choose(_config(options)), images.everything())


def _prepare(options: argparse.Namespace) -> None:
    from trawler_cluster import binaries, checks, images, packages

    provider = choose(_config(options))
    if not checks.docker_answers():
        checks.require_linux_root()
        packages.ensure(for_tests=True)
        binaries.ensure((*binaries.MODULES, binaries.METRICS_SERVER))
    for image in (images.METRICS_SERVER, *images.everything()):
        images.ensure_archive(image)
    shell.say(f"Everything that {provider.config.name} needs is in the cache.")


def _install(options: argparse.Namespace) -> None:
    from trawler_cluster import install

    install.install(choose(_config(options)), install.Release(namespace=options.namespace))


def _demo(options: argparse.Namespace) -> None:
    from trawler_cluster import demo

    demo.run(choose(_config(options)))


def _fetch(options: argparse.Namespace) -> None:
    from trawler_cluster import fetch

    fetch.fetch(
        choose(_config(options)),
        name=options.job.removeprefix("mj/").removeprefix("mediajob/"),
        namespace=options.namespace,
        folder=Path(options.output),
    )


def _config(options: argparse.Namespace) -> ClusterConfig:
    return ClusterConfig(
        name=options.name, number=options.number, internet=getattr(options, "internet", False)
    )


def parser() -> argparse.ArgumentParser:
    """The argument parser, with every command and its help."""
    top = argparse.ArgumentParser(
        prog="trawler-cluster",
        description="A local Kubernetes cluster for Trawler: kind where Docker is, else plain"
        " processes on bare Linux (root and Go needed).",
    )
    top.add_argument("--name", default=MAIN, help="which cluster (default: %(default)s)")
    top.add_argument(
        "--number",
        type=int,
        default=0,
        choices=range(10),
        metavar="0-9",
        help="keeps the address ranges of several clusters apart",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, act: Callable[[argparse.Namespace], None], text: str
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(act=act)
        return sub

    up = command("up", _up, "start the cluster, or mend it; harmless when it is healthy")
    up.add_argument(
        "--internet",
        action="store_true",
        help="let pods reach the outside (for trying real sites; off by default)",
    )
    command("down", _down, "remove the cluster and everything it left on this machine")
    command("status", _status, "show how each part is")
    command("env", _env, 'print settings for a shell: eval "$(make -s env)"')
    command("prepare", _prepare, "install packages, build programs and images into the cache")
    command("images", _images, "build the images and give them to the cluster")
    install = command("install", _install, "install or upgrade Trawler with the sandbox")
    install.add_argument("-n", "--namespace", default="trawler")
    command("demo", _demo, "show one /download in a Discord in a box, from link to file, proved")
    fetch = command("fetch", _fetch, "fetch the files of a finished MediaJob")
    fetch.add_argument("job", help="mj/NAME")
    fetch.add_argument("-n", "--namespace", default="trawler")
    fetch.add_argument("-o", "--output", default=".", help="folder (default: here)")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Exit code 0: success; 2: an error that the user can fix, printed as one
    sentence; 130: interrupted.
    """
    options = parser().parse_args(arguments)
    try:
        options.act(options)
    except UserError as error:
        print(f"trawler-cluster: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("trawler-cluster: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
