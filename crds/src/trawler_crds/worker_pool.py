"""WorkerPool: worker pods of one kind, kept warm."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from trawler_crds.addresses import MAX_URL, cel_rules
from trawler_crds.contract import Contract, rules
from trawler_crds.media_job import Conditions, ObjectMeta

Quantity = Annotated[
    str,
    Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"),
]
"""An amount as Kubernetes writes it: 500m, 1Gi."""


class Scaling(StrEnum):
    AUTO = "Auto"  # the operator writes spec.replicas
    MANUAL = "Manual"  # the operator only obeys spec.replicas


class Quantities(Contract):
    """Amounts of what a container may use."""

    cpu: Quantity | None = None
    memory: Quantity | None = None
    ephemeral_storage: Annotated[Quantity | None, Field(alias="ephemeral-storage")] = None


class Resources(Contract):
    """Requests and limits of one container, as in a pod."""

    requests: Quantities = Quantities()
    limits: Quantities = Quantities()


class WorkerRequests(Quantities):
    """What the container `worker` is sure to get."""

    cpu: Quantity | None = "50m"
    memory: Quantity | None = "96Mi"


class WorkerLimits(Quantities):
    """What the container `worker` may use at most."""

    memory: Quantity | None = "384Mi"


class FetcherRequests(Quantities):
    """What the container `fetcher` is sure to get."""

    cpu: Quantity | None = "100m"
    memory: Quantity | None = "256Mi"


class FetcherLimits(Quantities):
    """What the container `fetcher` may use at most."""

    memory: Quantity | None = "1536Mi"


class WorkerResources(Resources):
    """Of the container `worker`. Each amount has a default of its own: who sets one keeps the
    others.
    """

    requests: WorkerRequests = WorkerRequests()
    limits: WorkerLimits = WorkerLimits()


class FetcherResources(Resources):
    """Of the container `fetcher`. Each amount has a default of its own: who sets one keeps the
    others.
    """

    requests: FetcherRequests = FetcherRequests()
    limits: FetcherLimits = FetcherLimits()


class PodResources(Contract):
    """Of the two containers of a worker pod."""

    worker: WorkerResources = WorkerResources()
    fetcher: FetcherResources = FetcherResources()


CanaryLink = Annotated[
    str, Field(min_length=1, max_length=MAX_URL, json_schema_extra=rules(*cel_rules()))
]


class Toleration(Contract):
    """As in a pod."""

    key: Annotated[str | None, Field(max_length=317)] = None
    operator: Annotated[str | None, Field(max_length=16)] = None
    value: Annotated[str | None, Field(max_length=63)] = None
    effect: Annotated[str | None, Field(max_length=32)] = None


class Canary(Contract):
    """What a new image has to fetch before the pool's pods get it."""

    links: Annotated[
        list[CanaryLink],
        Field(min_length=1, max_length=16, description="Public links that are known to work."),
    ]
    wait_seconds: Annotated[
        int,
        Field(ge=30, le=3600, description="For a pod of the new image to start and fetch them."),
    ] = 300


class WorkerPoolSpec(Contract):
    """How many pods, and of what shape."""

    image: Annotated[
        str | None,
        Field(
            max_length=512,
            description="Image of the pods, for newer extractors; absent: the one of the release.",
        ),
    ] = None
    canary: Annotated[
        Canary | None,
        Field(
            description="With it, a new image is tried first, and the pods keep the old"
            " one where that fails."
        ),
    ] = None

    scaling: Annotated[
        Scaling,
        Field(
            description="Auto: the operator sets `replicas` by what there is to do."
            " Manual: it obeys them (kubectl scale, HPA, KEDA)."
        ),
    ] = Scaling.MANUAL
    replicas: Annotated[int, Field(ge=0, le=1000, description="Wanted pods.")] = 1
    min_replicas: Annotated[
        int, Field(ge=0, le=1000, description="Auto: never fewer; 0 lets the pool go to nothing.")
    ] = 0
    max_replicas: Annotated[int, Field(ge=1, le=1000, description="Auto: never more.")] = 10
    spare_slots: Annotated[
        int, Field(ge=0, le=1000, description="Auto: free slots kept for who comes next.")
    ] = 0
    idle_seconds: Annotated[
        int, Field(ge=0, le=86400, description="Auto: a pod idle for so long may go.")
    ] = 300
    start_seconds: Annotated[
        int, Field(ge=1, le=3600, description="A pod that is not ready by then is replaced.")
    ] = 120
    jobs_per_pod: Annotated[
        int | None,
        Field(ge=1, le=1_000_000, description="A pod leaves after so many; absent = never."),
    ] = None
    slots_per_pod: Annotated[int, Field(ge=1, le=64, description="Jobs at once in a pod.")] = 2
    max_attempt_seconds: Annotated[int, Field(ge=1, le=86400, description="Longest attempt.")] = (
        3600
    )
    termination_grace_period_seconds: Annotated[
        int,
        Field(
            ge=30,
            le=86400,
            description="How long a pod that is told to go may finish what it has; near"
            " the end it hands"
            " the rest back, which costs no failure.",
        ),
    ] = 600
    job_memory: Annotated[
        Quantity, Field(description="Memory of one job and all its processes together.")
    ] = "512Mi"
    scratch: Annotated[Quantity, Field(description="Disk for files under way, per pod.")] = "4Gi"
    resources: PodResources = PodResources()
    node_selector: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]] | None, Field(max_length=16)
    ] = None
    tolerations: Annotated[list[Toleration] | None, Field(max_length=16)] = None


class WorkerPoolStatus(Contract):
    """What is there. Written by the operator."""

    replicas: Annotated[
        int, Field(ge=0, description="Pods that stay: none that ended, is ending or is drained.")
    ] = 0
    ready_replicas: Annotated[int, Field(ge=0, description="Pods that answer.")] = 0
    busy: Annotated[int, Field(ge=0, description="Slots in use; updated every few seconds.")] = 0
    wanted: Annotated[
        int,
        Field(
            ge=0,
            description="Pods for all that runs, may run and is kept spare, within minReplicas and"
            " maxReplicas; what a KEDA scaler reads. Every few seconds.",
        ),
    ] = 0
    image: Annotated[
        str | None,
        Field(max_length=512, description="Of new pods; with a canary the last that passed."),
    ] = None
    previous_image: Annotated[
        str | None,
        Field(max_length=512, description="The one before, to which a way back is free."),
    ] = None
    selector: Annotated[str | None, Field(max_length=256)] = None
    conditions: Conditions | None = None


class WorkerPool(Contract):
    """Worker pods of one kind."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[
        WorkerPoolSpec,
        Field(
            json_schema_extra=rules(
                (
                    "!has(self.minReplicas) || !has(self.maxReplicas)"
                    " || self.minReplicas <= self.maxReplicas",
                    "minReplicas must not be greater than maxReplicas",
                )
            )
        ),
    ] = WorkerPoolSpec()
    status: WorkerPoolStatus = WorkerPoolStatus()

    @property
    def name(self) -> str:
        return self.metadata.name
