/* torch_memory.cpp - the account of memory. On the CPU: our own allocator behind every tensor, which counts by owner, keeps freed blocks for reuse (a
 * fresh block costs a page fault per 4 KiB, a third of a forward pass) and refuses what goes beyond the cap, so that running out is an error to handle
 * and not the kernel's kill. On CUDA: libtorch's caching allocator does all this; it is only read and told.
 */
#include "models/torch_private.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>

#include <c10/core/CPUAllocator.h>

#include <sys/mman.h>
#include <dlfcn.h>

/* The Makefile sets TT_CUDA where libc10_cuda.so and the CUDA runtime's headers are. */
#if TT_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#endif

namespace
{

thread_local int current_owner = 0;

/* ---- CPU ---------------------------------------------------------------------------------------------------------------------------------- */

constexpr size_t alignment = 64;                  /* of the data; also the header's size */
constexpr size_t map_threshold = size_t{1} << 20; /* from here on blocks come from mmap, so that giving them back is certain */
constexpr int64_t cache_slack = int64_t{64} << 20;
constexpr size_t huge_page = size_t{2} << 20;
constexpr uint64_t magic_used = 0x76726d626c6b5553, magic_cached = 0x76726d626c6b4652;

struct alignas(alignment) header {
	uint64_t magic;
	size_t size; /* of the data, rounded up; what the account counts */
	int owner;
	header *next; /* in the cache */
};
static_assert(sizeof(header) == alignment, "the data follows the header");

/* Eight sizes to a doubling: at most an eighth is wasted, and requests that differ a little share blocks. */
size_t round_size(size_t n)
{
	if (n <= 512)
		return (n + alignment - 1) / alignment * alignment;
	int top = 63 - __builtin_clzll(n - 1);
	size_t step = size_t{1} << (top - 3);
	if (n > SIZE_MAX - step)
		throw std::bad_alloc();
	return (n + step - 1) / step * step;
}

class cpu_allocator final : public c10::Allocator
{
      public:
	/* The base class changed with the versions of libtorch: allocate() was const, copy_data() did not exist. Both forms stand here, without `override`. */
	at::DataPtr allocate(size_t n)
	{
		return allocate_block(n);
	}
	at::DataPtr allocate(size_t n) const
	{
		return const_cast<cpu_allocator *>(this)->allocate_block(n);
	}
	void copy_data(void *to, const void *from, size_t count) const
	{
		memcpy(to, from, count);
	}
	/* oneDNN's scratch comes through raw_allocate, which needs this */
	at::DeleterFnPtr raw_deleter() const
	{
		return release;
	}

	void read(struct tt_memory *out)
	{
		out->used = used.load(std::memory_order_relaxed);
		out->peak = peak.load(std::memory_order_relaxed);
		out->cached = cached.load(std::memory_order_relaxed);
		out->cap = cap.load(std::memory_order_relaxed);
		out->refused = refused.load(std::memory_order_relaxed);
		for (int i = 0; i < TT_OWNERS; i++)
			out->owner[i] = by_owner[static_cast<size_t>(i)].load(std::memory_order_relaxed);
	}

	void reset_peak()
	{
		std::lock_guard<std::mutex> hold(lock);
		peak = used.load();
	}

	void set_cap(int64_t bytes)
	{
		std::lock_guard<std::mutex> hold(lock);
		cap = bytes > 0 ? bytes : 0;
		if (cap > 0 && used + cached > cap)
			drop_cached(0);
	}

	void trim()
	{
		std::lock_guard<std::mutex> hold(lock);
		drop_cached(0);
	}

      private:
	std::mutex lock; /* guards the cache and the sums' consistency; readers take the atomics as they are */
	std::map<size_t, header *> cache;
	int64_t highest = 0; /* used, ever: what the cache may hold */
	std::atomic<int64_t> used{0}, peak{0}, cached{0}, cap{0}, refused{0};
	std::array<std::atomic<int64_t>, TT_OWNERS> by_owner{};

	at::DataPtr allocate_block(size_t n);
	header *take_cached(size_t size);
	void drop_cached(int64_t down_to);
	void make_room(int64_t size);
	static header *map_block(size_t size);
	static void unmap_block(header *block);
	static void release(void *data);
};

cpu_allocator &cpu()
{
	static cpu_allocator *only = new cpu_allocator; /* never destroyed: tensors may outlive main */
	return *only;
}

header *cpu_allocator::map_block(size_t size)
{
	size_t whole = size + sizeof(header);
	void *memory = nullptr;
	if (size < map_threshold) {
		if (posix_memalign(&memory, alignment, whole) != 0)
			return nullptr;
	} else {
		memory = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory == MAP_FAILED)
			return nullptr;
		if (whole >= 2 * huge_page)
			madvise(memory, whole, MADV_HUGEPAGE);
	}
	return new (memory) header{0, size, 0, nullptr};
}

void cpu_allocator::unmap_block(header *block)
{
	if (block->size < map_threshold)
		free(block);
	else
		munmap(block, block->size + sizeof(header));
}

/* The smallest cached block that fits and is not more than a quarter too large. */
header *cpu_allocator::take_cached(size_t size)
{
	auto found = cache.lower_bound(size);
	if (found == cache.end() || found->first > size + size / 4)
		return nullptr;
	header *block = found->second;
	if (block->next)
		found->second = block->next;
	else
		cache.erase(found);
	cached -= static_cast<int64_t>(block->size);
	return block;
}

/* Gives cached blocks back to the system, the largest first, until no more than down_to bytes are left. */
void cpu_allocator::drop_cached(int64_t down_to)
{
	while (cached > down_to && !cache.empty()) {
		auto last = std::prev(cache.end());
		header *block = last->second;
		if (block->next)
			last->second = block->next;
		else
			cache.erase(last);
		cached -= static_cast<int64_t>(block->size);
		unmap_block(block);
	}
}

/* Makes the cap hold for used and cached together with a fresh block of that size, or throws. */
void cpu_allocator::make_room(int64_t size)
{
	int64_t limit = cap;
	if (limit == 0 || used + cached + size <= limit)
		return;
	if (used + size <= limit) {
		drop_cached(limit - used - size);
		return;
	}
	refused++;
	TORCH_CHECK_WITH(OutOfMemoryError, false, "out of memory: ", size, " bytes asked, ", used.load(), " in use, the cap is ", limit);
}

at::DataPtr cpu_allocator::allocate_block(size_t n)
{
	if (n == 0)
		return {nullptr, nullptr, &release, at::Device(at::kCPU)};
	size_t size = round_size(n);
	std::lock_guard<std::mutex> hold(lock);
	header *block = take_cached(size);
	if (!block) /* a cached one changes nothing in the sum that the cap bounds */
		make_room(static_cast<int64_t>(size));
	if (!block && !(block = map_block(size))) {
		drop_cached(0);
		block = map_block(size);
		TORCH_CHECK_WITH(OutOfMemoryError, block, "out of memory: the system refuses ", size, " bytes, ", used.load(), " in use");
	}
	block->magic = magic_used;
	block->owner = current_owner;
	block->next = nullptr;
	used += static_cast<int64_t>(block->size);
	by_owner[static_cast<size_t>(block->owner)] += static_cast<int64_t>(block->size);
	peak = std::max(peak.load(), used.load());
	highest = std::max(highest, used.load());
	void *data = block + 1;
	return {data, data, &release, at::Device(at::kCPU)};
}

void cpu_allocator::release(void *data)
{
	if (!data)
		return;
	header *block = static_cast<header *>(data) - 1;
	if (block->magic != magic_used)
		abort(); /* something wrote before its tensor; going on would spread it */
	cpu_allocator &a = cpu();
	std::lock_guard<std::mutex> hold(a.lock);
	a.used -= static_cast<int64_t>(block->size);
	a.by_owner[static_cast<size_t>(block->owner)] -= static_cast<int64_t>(block->size);
	block->magic = magic_cached;
	a.cached += static_cast<int64_t>(block->size);
	header *&head = a.cache[block->size];
	block->next = head;
	head = block;
	/* shapes that change would otherwise pile up blocks of every size */
	if (a.cached > a.highest + cache_slack)
		a.drop_cached(a.highest);
}

int64_t meminfo_bytes(const char *key)
{
	std::ifstream info("/proc/meminfo");
	for (std::string line; std::getline(info, line);) {
		if (line.compare(0, strlen(key), key) == 0 && line[strlen(key)] == ':')
			return strtoll(line.c_str() + strlen(key) + 1, nullptr, 10) * 1024;
	}
	return 0;
}

/* ---- CUDA --------------------------------------------------------------------------------------------------------------------------------- */

/* cudaMemGetInfo of the runtime that libtorch brought along; needs no headers. It reads the current device. */
bool cuda_mem_get_info(int device, int64_t *free_bytes, int64_t *total)
{
	using get_info = int (*)(size_t *, size_t *);
	using set_device = int (*)(int);
	static const get_info info = reinterpret_cast<get_info>(dlsym(RTLD_DEFAULT, "cudaMemGetInfo"));
	static const set_device set = reinterpret_cast<set_device>(dlsym(RTLD_DEFAULT, "cudaSetDevice"));
	size_t left = 0, all = 0;
	if (!info || !set || set(device) != 0 || info(&left, &all) != 0)
		return false;
	*free_bytes = static_cast<int64_t>(left);
	*total = static_cast<int64_t>(all);
	return true;
}

constexpr int cuda_devices_max = 64;
std::array<std::atomic<int64_t>, cuda_devices_max> cuda_caps{};

bool cuda_known(int device)
{
	return device >= 0 && device < cuda_devices_max && device < tt_cuda_devices();
}

#if TT_CUDA

void cuda_read(int device, struct tt_memory *out)
{
	namespace allocator = c10::cuda::CUDACachingAllocator;
	const auto stats = allocator::getDeviceStats(static_cast<c10::DeviceIndex>(device)); /* index 0 of each array is the sum over all pools */
	out->used = stats.allocated_bytes[0].current;
	out->peak = stats.allocated_bytes[0].peak;
	out->cached = stats.reserved_bytes[0].current - out->used;
	out->refused = stats.num_ooms;
}

void cuda_reset_peak(int device)
{
	c10::cuda::CUDACachingAllocator::resetPeakStats(static_cast<c10::DeviceIndex>(device));
}

void cuda_set_cap(int device, double fraction)
{
	c10::cuda::CUDACachingAllocator::setMemoryFraction(fraction, static_cast<c10::DeviceIndex>(device));
}

void cuda_trim()
{
	c10::cuda::CUDACachingAllocator::emptyCache();
}

#else

/* Without the CUDA runtime's headers the allocator cannot be asked: the device's own reading stands for it, and caps and trimming do nothing. */
void cuda_read(int, struct tt_memory *out)
{
	out->used = out->peak = out->device_total - out->device_free;
}

void cuda_reset_peak(int)
{
}

void cuda_set_cap(int, double)
{
}

void cuda_trim()
{
}

#endif

/* An account must never fail its reader: before CUDA is initialised the allocator throws. */
template <typename Body> void quietly(Body body)
{
	try {
		body();
	} catch (...) {
	}
}

} // namespace

namespace shim
{

void memory_install()
{
	c10::SetCPUAllocator(&cpu(), 1);
}

} // namespace shim

/* ---- the door ----------------------------------------------------------------------------------------------------------------------------- */

void tt_set_owner(int owner)
{
	current_owner = owner > 0 && owner < TT_OWNERS ? owner : 0;
}

void tt_memory_read(int device, struct tt_memory *out)
{
	*out = {};
	if (device == TT_CPU) {
		cpu().read(out);
		out->device_total = meminfo_bytes("MemTotal");
		out->device_free = meminfo_bytes("MemAvailable");
		return;
	}
	if (!cuda_known(device))
		return;
	cuda_mem_get_info(device, &out->device_free, &out->device_total);
	out->cap = cuda_caps[static_cast<size_t>(device)];
	quietly([&] { cuda_read(device, out); });
}

void tt_memory_reset_peak(int device)
{
	if (device == TT_CPU)
		cpu().reset_peak();
	else if (cuda_known(device))
		quietly([&] { cuda_reset_peak(device); });
}

void tt_memory_set_cap(int device, int64_t bytes)
{
	if (device == TT_CPU) {
		cpu().set_cap(bytes);
		return;
	}
	struct tt_memory now;
	tt_memory_read(device, &now);
	if (now.device_total <= 0)
		return;
	bytes = bytes > 0 ? bytes : 0;
	cuda_caps[static_cast<size_t>(device)] = bytes;
	double fraction = static_cast<double>(bytes) / static_cast<double>(now.device_total);
	quietly([&] { cuda_set_cap(device, bytes == 0 || fraction > 1 ? 1.0 : fraction); });
}

void tt_memory_trim(int device)
{
	if (device == TT_CPU)
		cpu().trim();
	else if (cuda_known(device))
		quietly(cuda_trim);
}
