"""What shortcuts leave out is there once it is asked for, and nobody sees that it was not."""

import gc
import subprocess
import sys

import pytest

from gtrans_core.system.shortcuts import garbage_left_alone
from tests.support import torch_alone


def python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_timm_is_imported_without_torchs_compiler_and_leaves_no_trace():
    torch_alone.python(
        "import sys, torch\n"
        "disable = torch.compiler.disable\n"
        "from gtrans_core.network.backbone import timm\n"
        "assert timm.is_model('resnet18')\n"
        "assert not {name for name in sys.modules if name.startswith('torch._dynamo')}\n"
        "assert torch.compiler.disable is disable"
    )


def test_torchvision_gets_torchs_own_answer():
    torch_alone.python(
        "import gtrans_core.network.backbone\n"
        "from torchvision.ops import roi_align\n"
        "import sys; here = sys.modules['torchvision.ops.roi_align'].is_compile_supported('cpu')\n"
        "from torch._dynamo.utils import is_compile_supported, counters\n"
        "assert here == is_compile_supported('cpu')\n"
        "assert isinstance(here, bool)"
    )


def test_a_function_marked_meanwhile_is_left_alone_by_the_compiler():
    torch_alone.python(
        "import torch\n"
        "from gtrans_core.system.shortcuts import torch_compiler_left_out\n"
        "seen = []\n"
        "with torch_compiler_left_out():\n"
        "    @torch.compiler.disable\n"
        "    def marked(x):\n"
        "        seen.append(torch.compiler.is_compiling())\n"
        "        return x + 1\n"
        "compiled = torch.compile(lambda x: marked(x) * 2, backend='eager')\n"
        "assert compiled(torch.ones(1)).item() == 4\n"
        "assert seen == [False]"
    )


def test_another_name_of_the_module_left_out_still_can_be_imported():
    """As another release of torchvision might: slower, but right."""
    torch_alone.python(
        "import sys\n"
        "from gtrans_core.system.shortcuts import torch_compiler_left_out\n"
        "with torch_compiler_left_out():\n"
        "    from torch._dynamo.utils import counters\n"
        "assert sys.modules['torch._dynamo.utils'].counters is counters\n"
        "import torch; torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1))"
    )


def test_a_training_step_is_the_same_without_the_compiler_which_can_be_used_afterwards():
    torch_alone.python(
        "import sys, torch\n"
        "from contextlib import nullcontext\n"
        "from gtrans_core.system.shortcuts import optimizers_without_compiler\n"
        "def trained(within):\n"
        "    weights = torch.linspace(-1, 1, 50).requires_grad_()\n"
        "    with within:\n"
        "        optimizer = torch.optim.AdamW([weights], fused=True)\n"
        "        for _ in range(3):\n"
        "            optimizer.zero_grad(set_to_none=True)\n"
        "            weights.square().sum().backward()\n"
        "            optimizer.step()\n"
        "        state = optimizer.state_dict()['state'][0]['exp_avg']\n"
        "    return torch.stack([weights.detach(), state])\n"
        "without = trained(optimizers_without_compiler())\n"
        "assert not {name for name in sys.modules if name.startswith('torch._dynamo')}\n"
        "assert torch.equal(without, trained(nullcontext()))\n"
        "assert 'torch._dynamo.eval_frame' in sys.modules\n"
        "assert torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item() == 2"
    )


def test_whatever_else_asks_for_the_compiler_meanwhile_gets_it():
    torch_alone.python(
        "import sys\n"
        "from gtrans_core.system.shortcuts import optimizers_without_compiler\n"
        "with optimizers_without_compiler():\n"
        "    import torch._dynamo.utils\n"
        "    assert torch._dynamo.utils.counters is not None\n"
        "    assert torch._dynamo.eval_frame\n"
        "assert type(sys.modules['torch._dynamo']).__name__ == 'module'"
    )


def test_kubeflows_client_is_left_out_and_leaves_no_trace():
    python(
        "import os, sys\n"
        "from gtrans_core.system.shortcuts import kubeflow_client_left_out\n"
        "with kubeflow_client_left_out():\n"
        "    import kfp\n"
        "from kfp import components, dsl, local\n"
        "assert dsl.pipeline\n"
        "assert not {'kubernetes', 'kfp.client', 'kfp_server_api'} & set(sys.modules)\n"
        "assert '_KFP_RUNTIME' not in os.environ"
    )


def test_mlflow_reads_a_registry_without_pandas_which_can_be_imported_afterwards():
    python(
        "import sys\n"
        "from gtrans_core.system.shortcuts import pandas_left_out\n"
        "from gtrans_core.tracking.client import connect\n"
        "with pandas_left_out():\n"
        "    client = connect('http://127.0.0.1:1')\n"
        "assert not {'pandas', 'scipy'} & {name.partition('.')[0] for name in sys.modules}\n"
        "import pandas, scipy.sparse\n"
        "assert client.tracking_uri == 'http://127.0.0.1:1'"
    )


def test_garbage_is_collected_again_after_a_start_that_failed():
    def fail() -> None:
        with garbage_left_alone():
            assert not gc.isenabled()
            raise OSError("no port")

    with pytest.raises(OSError, match="no port"):
        fail()
    assert gc.isenabled()
