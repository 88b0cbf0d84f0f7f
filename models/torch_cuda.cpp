/* torch_cuda.cpp - the CUDA seam. libtorch's caching allocator is read, capped and trimmed through its own functions, which need the CUDA runtime's headers
 * (the Makefile then sets TT_CUDA); the device itself is asked through the driver, by dlopen, which needs none. Nothing here changes a thread's current
 * device or makes a context where there is none, so any thread may ask about any device.
 */
#include "models/torch_private.h"

#include <algorithm>
#include <array>
#include <atomic>

#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <dlfcn.h>

#if TT_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#endif

#include "models/torch_driver.h"

using namespace shim;

namespace
{

std::array<std::atomic<int64_t>, CUDA_DEVICES_MAX> caps{};

/* An account must never fail its reader: before CUDA is initialised the allocator throws. */
template <typename Body> void quietly(Body body)
{
	try {
		body();
	} catch (...) {
	}
}

#if TT_CUDA

namespace allocator = c10::cuda::CUDACachingAllocator;

void read_allocator(int device, struct tt_memory *out, int64_t *peak)
{
	const auto stats = allocator::getDeviceStats(static_cast<c10::DeviceIndex>(device)); /* index 0 of each array is the sum over all pools */
	out->used = stats.allocated_bytes[0].current;
	out->cached = stats.reserved_bytes[0].current - out->used;
	out->refused = stats.num_ooms;
	*peak = stats.allocated_bytes[0].peak;
}

/* A run that comes to its peak and ends between the two calls is missed. */
int64_t restart_peak(int device)
{
	const int64_t peak = allocator::getDeviceStats(static_cast<c10::DeviceIndex>(device)).allocated_bytes[0].peak;
	allocator::resetPeakStats(static_cast<c10::DeviceIndex>(device));
	return peak;
}

/* The allocator has no devices to cap before CUDA is initialised. */
void initialise()
{
#if TT_TORCH_AT_LEAST(2, 6)
	at::globalContext().lazyInitDevice(at::kCUDA);
#else
	at::globalContext().lazyInitCUDA();
#endif
}

/* What is reserved and not used goes first, so that a lower cap holds at once where it can. */
void apply_cap(int device, int64_t bytes, int64_t total)
{
	initialise();
	const double fraction = bytes > 0 && bytes < total ? static_cast<double>(bytes) / static_cast<double>(total) : 1.0;
	allocator::setMemoryFraction(fraction, static_cast<c10::DeviceIndex>(device));
	const auto stats = allocator::getDeviceStats(static_cast<c10::DeviceIndex>(device));
	if (bytes > 0 && stats.reserved_bytes[0].current > bytes)
		allocator::emptyCache();
	caps[static_cast<size_t>(device)] = bytes;
}

void empty_cache()
{
	allocator::emptyCache();
}

#else

/* The allocator cannot be asked: what the device has given away stands for it, and caps and trimming do nothing. */
void read_allocator(int, struct tt_memory *out, int64_t *peak)
{
	*peak = out->used = out->device_total - out->device_free;
}

int64_t restart_peak(int)
{
	return 0;
}

void apply_cap(int, int64_t, int64_t)
{
}

void empty_cache()
{
}

#endif

} // namespace

/* ---- the driver --------------------------------------------------------------------------------------------------------------------------- */

namespace shim
{

const cuda_driver *cuda_driver::get()
{
	static const cuda_driver *only = []() -> const cuda_driver * {
		void *library = dlopen("libcuda.so.1", RTLD_LAZY);
		cuda_driver *d = library ? new cuda_driver : nullptr;
		bool whole = d;
		auto take = [&](auto &function, const char *symbol) {
			function = whole ? reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, symbol)) : nullptr;
			whole = whole && function;
		};
		if (!d)
			return nullptr;
		take(d->init, "cuInit");
		take(d->version, "cuDriverGetVersion");
		take(d->device, "cuDeviceGet");
		take(d->name, "cuDeviceGetName");
		take(d->pci_address, "cuDeviceGetPCIBusId");
		take(d->total, "cuDeviceTotalMem_v2");
		take(d->attribute, "cuDeviceGetAttribute");
		take(d->context_state, "cuDevicePrimaryCtxGetState");
		take(d->retain, "cuDevicePrimaryCtxRetain");
		take(d->release, "cuDevicePrimaryCtxRelease");
		take(d->push, "cuCtxPushCurrent_v2");
		take(d->pop, "cuCtxPopCurrent_v2");
		take(d->memory, "cuMemGetInfo_v2");
		return whole ? d : nullptr;
	}();
	return only;
}

bool cuda_driver::handle(int ordinal, int *out) const
{
	return init(0) == 0 && device(out, ordinal) == 0;
}

/* By the device's own context, made current for the call; where there is none nobody of this process has used it yet, and nothing is read. */
bool cuda_driver::memory_of(int ordinal, int64_t *left, int64_t *all) const
{
	unsigned flags = 0;
	int active = 0, handle_of;
	void *context = nullptr, *popped = nullptr;
	size_t left_size = 0, all_size = 0;
	if (!handle(ordinal, &handle_of) || context_state(handle_of, &flags, &active) != 0 || !active || retain(&context, handle_of) != 0)
		return false;
	bool fine = push(context) == 0;
	if (fine) {
		fine = memory(&left_size, &all_size) == 0;
		pop(&popped);
	}
	release(handle_of);
	*left = static_cast<int64_t>(left_size);
	*all = static_cast<int64_t>(all_size);
	return fine;
}

/* ---- what torch_memory.cpp asks ----------------------------------------------------------------------------------------------------------- */

bool cuda_known(int device)
{
	return device >= 0 && device < CUDA_DEVICES_MAX && device < tt_cuda_devices();
}

void cuda_device_read(int device, struct tt_memory *out)
{
	const cuda_driver *driver = cuda_driver::get();
	if (driver)
		driver->memory_of(device, &out->device_free, &out->device_total);
}

int64_t cuda_allocator_read(int device, struct tt_memory *out)
{
	int64_t peak = 0;
	out->cap = caps[static_cast<size_t>(device)];
	quietly([&] { read_allocator(device, out, &peak); });
	return peak;
}

int64_t cuda_restart_peak(int device)
{
	int64_t peak = 0;
	quietly([&] { peak = restart_peak(device); });
	return peak;
}

void cuda_set_cap(int device, int64_t bytes)
{
	struct tt_device about;
	if (tt_device_describe(device, &about) < 0 || about.total <= 0)
		return;
	quietly([&] { apply_cap(device, std::max<int64_t>(bytes, 0), about.total); });
}

void cuda_trim()
{
	quietly(empty_cache);
}

} // namespace shim

int tt_cuda_devices(void)
{
	try {
		return c10::impl::hasDeviceGuardImpl(at::kCUDA) ? c10::impl::getDeviceGuardImpl(at::kCUDA)->deviceCount() : 0;
	} catch (...) {
		return 0;
	}
}
