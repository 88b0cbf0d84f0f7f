/* torch_device.cpp - which devices there are, why one cannot be used, and how numbers come about on them. */
#include "models/torch_private.h"

#include <cstdio>
#include <cstdlib>

#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "models/torch_driver.h"

extern "C" {
#include "core/runtime.h"
}

using namespace shim;

/* ---- why CUDA cannot be used -------------------------------------------------------------------------------------------------------------- */

namespace
{

/* Of cuInit. */
enum { INIT_NO_DEVICE = 100, INIT_NOT_READY = 802, INIT_MISMATCH = 803 };

int refuse(char *message, size_t size, const std::string &text)
{
	snprintf(message, size, "%s", printable(text.c_str()).c_str());
	return -1;
}

std::string cuda_version(int number)
{
	return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string visible_setting(const struct tt_cuda_facts *f)
{
	return f->visible ? std::string("CUDA_VISIBLE_DEVICES=") + f->visible : std::string();
}

std::string why_none(const struct tt_cuda_facts *f)
{
	if (f->visible)
		return visible_setting(f) + " shows none of the machine's GPUs: unset it, or name some that `nvidia-smi -L` lists";
	return "the NVIDIA driver finds no GPU: look at `nvidia-smi`; a container needs --gpus all";
}

std::string why_not_initialised(const struct tt_cuda_facts *f)
{
	switch (f->init) {
	case INIT_NO_DEVICE:
		return why_none(f);
	case INIT_NOT_READY:
		return "the GPUs are not ready yet: start the fabric manager (systemctl start nvidia-fabricmanager), or wait for it";
	case INIT_MISMATCH:
		return "the NVIDIA driver's library and its kernel module are of different versions: load the module anew, or restart the machine";
	default:
		return "the NVIDIA driver does not start (cuInit: " + std::to_string(f->init) + "): look at `nvidia-smi` and `dmesg`";
	}
}

} // namespace

int tt_cuda_judge(const struct tt_cuda_facts *f, int device, char *message, size_t size)
{
	if (!f->built)
		return refuse(
			message, size,
			std::string("libtorch ") + f->version +
				" was built without CUDA: build vramble against one that has it (pip's torch: make TORCH_DIR=…/site-packages/torch)");
	if (!f->driver)
		return refuse(message, size, "there is no NVIDIA driver (libcuda.so.1): install it; a container needs --gpus all");
	/* within one major version an older driver serves */
	if (f->driver_version > 0 && f->driver_version / 1000 < f->runtime_version / 1000)
		return refuse(message, size,
			      "the NVIDIA driver is too old: it serves CUDA up to " + cuda_version(f->driver_version) + ", this libtorch needs " +
				      cuda_version(f->runtime_version) + ": update the driver, or take a libtorch for an older CUDA");
	if (f->init != 0)
		return refuse(message, size, why_not_initialised(f));
	if (f->devices <= 0)
		return refuse(message, size, why_none(f));
	if (device < 0 || device >= f->devices) {
		const std::string count = std::to_string(f->devices) + (f->devices == 1 ? " CUDA device is" : " CUDA devices are") + " visible";
		return refuse(message, size,
			      "there is no cuda:" + std::to_string(device) + ": " + count + (f->visible ? ", " + visible_setting(f) : "") +
				      "; the first is cuda:0");
	}
	return 0;
}

namespace
{

struct tt_cuda_facts gather()
{
	struct tt_cuda_facts f = {TORCH_VERSION, c10::impl::hasDeviceGuardImpl(at::kCUDA), false, 0, 0, 0, 0, getenv("CUDA_VISIBLE_DEVICES")};
	const cuda_driver *driver = cuda_driver::get();
	f.driver = driver;
	if (!f.built || !driver)
		return f;
	f.init = driver->init(0);
	driver->version(&f.driver_version);
	try {
		f.runtime_version = static_cast<int>(at::detail::getCUDAHooks().versionCUDART());
	} catch (...) {
		f.runtime_version = 0;
	}
	f.devices = tt_cuda_devices();
	return f;
}

/* A context, memory, a kernel and the way back, all of which may fail. */
int try_device(int device, char *message, size_t size)
{
	const std::string name = "cuda:" + std::to_string(device);
	try {
		c10::InferenceMode inference;
		const float sum = at::ones({64}, at::TensorOptions().dtype(at::kFloat).device(device_of(device))).sum().item<float>();
		need(sum == 64, "64 ones sum to ", sum);
		return 0;
	} catch (...) {
		std::string what;
		const enum tt_status status = exception_describe(what);
		if (status == TT_OUT_OF_MEMORY)
			return refuse(message, size, name + " has no memory left to begin with; `nvidia-smi` shows who holds it: " + what);
		if (what.find("no kernel image") != std::string::npos)
			return refuse(message, size, "this libtorch has no kernels for " + name + ": take one built for that GPU: " + what);
		return refuse(message, size, name + " does not compute; look at `nvidia-smi` and `dmesg`: " + what);
	}
}

} // namespace

int tt_usable(int device, char *message, size_t size)
{
	if (device == TT_CPU)
		return 0;
	const struct tt_cuda_facts facts = gather();
	return tt_cuda_judge(&facts, device, message, size) < 0 ? -1 : try_device(device, message, size);
}

/* ---- what a device is --------------------------------------------------------------------------------------------------------------------- */

int tt_device_describe(int device, struct tt_device *out)
{
	enum { MAJOR = 75, MINOR = 76 }; /* cuDeviceGetAttribute: compute capability */
	*out = {};
	if (device == TT_CPU) {
		out->total = memory_total();
		out->bf16 = tt_cpu_has_bf16();
		return 0;
	}
	if (!cuda_known(device))
		return -1;
	const cuda_driver *driver = cuda_driver::get();
	int handle, major = 0, minor = 0;
	size_t total = 0;
	if (!driver || !driver->handle(device, &handle))
		return 0;
	driver->name(out->name, sizeof out->name, handle);
	driver->pci_address(out->id, sizeof out->id, handle);
	driver->total(&total, handle);
	driver->attribute(&major, MAJOR, handle);
	driver->attribute(&minor, MINOR, handle);
	out->total = static_cast<int64_t>(total);
	out->bf16 = major >= 8;
	out->fp16 = major > 5 || (major == 5 && minor >= 3);
	return 0;
}

/* ---- tuning ------------------------------------------------------------------------------------------------------------------------------- */

int tt_tune(const struct tt_tuning *tuning, char *message, size_t size)
{
	try {
		at::manual_seed(tuning->seed);
		at::globalContext().setDeterministicAlgorithms(tuning->deterministic, false);
#if TT_TORCH_AT_LEAST(2, 2)
		at::globalContext().setDeterministicFillUninitializedMemory(false); /* a help for debugging that writes to every new tensor */
#endif
		at::globalContext().setDeterministicCuDNN(tuning->deterministic);
		at::globalContext().setBenchmarkCuDNN(tuning->benchmark && !tuning->deterministic);
		at::set_num_threads(tuning->threads > 0 ? tuning->threads : runtime_cpus());
		return 0;
	} catch (...) {
		std::string what;
		exception_describe(what);
		return refuse(message, size, "settings are not taken: " + what);
	}
}

void tt_seed(uint64_t seed)
{
	at::manual_seed(seed);
}
