import pytest

from triptych_server.doctor import Verdict
from triptych_server.doctor.gpu import Gpu, Providers, examine_gpu, found, parse, providers

GPU = Gpu("NVIDIA H100 PCIe", 81559, 1204, "580.65.06")


def test_gpus_are_read_from_the_table_of_nvidia_smi() -> None:
    table = "NVIDIA H100 PCIe, 81559, 1204, 580.65.06\nNVIDIA GB10, [N/A], [N/A], 580.95.05\n"
    assert list(parse(table)) == [GPU, Gpu("NVIDIA GB10", 0, 0, "580.95.05")]
    details = [finding.detail for finding in found(list(parse(table)))]
    assert details[0] == "NVIDIA H100 PCIe, 1204 of 81559 MiB used, driver 580.65.06"
    assert "unknown" in details[1]


@pytest.mark.parametrize(
    ("gpus", "onnx", "verdict", "remedy"),
    [
        ([GPU], Providers(gpu_build=True, usable=True), Verdict.OK, ""),
        ([GPU], Providers(gpu_build=True, usable=False), Verdict.PROBLEM, "ldd "),
        ([GPU], Providers(gpu_build=False, usable=False), Verdict.WARNING, "[server-gpu]"),
        ([], Providers(gpu_build=True, usable=False), Verdict.WARNING, "[server]"),
        ([], Providers(gpu_build=False, usable=False), Verdict.OK, ""),
    ],
)
def test_onnxruntime_should_compute_where_the_gpu_is(
    gpus: list[Gpu], onnx: Providers, verdict: Verdict, remedy: str
) -> None:
    finding = providers(gpus, onnx)
    assert finding.verdict is verdict
    assert remedy in finding.remedy


def test_this_machine_is_looked_at() -> None:
    whole = list(examine_gpu(in_process=True))
    assert {finding.area for finding in whole} == {"gpu"}
    assert whole[-1].what == "onnxruntime"
    assert list(examine_gpu(in_process=False)) == whole[:-1]
