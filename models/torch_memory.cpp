/* torch_memory.cpp - the account of memory. On the CPU: our own allocator behind every tensor, which counts, keeps freed blocks for reuse (a
 * fresh block costs a page fault per 4 KiB, a third of a forward pass) and refuses what goes beyond the cap, so that running out is an error to handle
 * and not the kernel's kill. On CUDA libtorch's caching allocator does all this; it is only read and told (torch_cuda.cpp).
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

using namespace shim;

namespace
{

thread_local int64_t of_thread = 0;

/* ---- CPU ---------------------------------------------------------------------------------------------------------------------------------- */

constexpr size_t alignment = 64;                  /* of the data; also the header's size */
constexpr size_t map_threshold = size_t{1} << 20; /* from here on blocks come from mmap, so that giving them back is certain */
constexpr int64_t cache_slack = int64_t{64} << 20;
constexpr size_t huge_page = size_t{2} << 20;
constexpr uint64_t magic_used = 0x76726d626c6b5553, magic_cached = 0x76726d626c6b4652;

struct alignas(alignment) header {
	uint64_t magic;
	size_t size;  /* of the data, rounded up; what the account counts as used */
	size_t room;  /* of the block: more where a larger one is reused. That rest counts as cached, so that used does not depend on luck */
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
		out->cached = cached.load(std::memory_order_relaxed);
		out->cap = cap.load(std::memory_order_relaxed);
		out->refused = refused.load(std::memory_order_relaxed);
	}

	int64_t peak_now() const
	{
		return peak.load(std::memory_order_relaxed);
	}

	/* The peak so far; from now on it is counted from what is used now. */
	int64_t restart_peak()
	{
		std::lock_guard<std::mutex> hold(lock);
		return peak.exchange(used.load());
	}

	int64_t refuse(int64_t nth)
	{
		std::lock_guard<std::mutex> hold(lock);
		const int64_t left = refuse_in;
		refuse_in = nth > 0 ? nth : 0;
		return left;
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
	int64_t highest = 0;   /* used, ever: what the cache may hold */
	int64_t refuse_in = 0; /* allocations until one is refused for a test; 0: none is */
	std::atomic<int64_t> used{0}, peak{0}, cached{0}, cap{0}, refused{0};

	at::DataPtr allocate_block(size_t n);
	header *take_cached(size_t size);
	void drop_cached(int64_t down_to);
	void make_room(int64_t size);
	static header *map_block(size_t size);
	static void unmap_block(header *block);
	static void release(void *data);
	friend int64_t shim::memory_block_of(const at::DataPtr &at);
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
	return new (memory) header{0, size, size, nullptr};
}

void cpu_allocator::unmap_block(header *block)
{
	if (block->room < map_threshold)
		free(block);
	else
		munmap(block, block->room + sizeof(header));
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
	block->size = size;
	cached -= static_cast<int64_t>(size);
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
		cached -= static_cast<int64_t>(block->room);
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
		if (used + cached + size <= limit)
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
	if (refuse_in > 0 && --refuse_in == 0) {
		refused++;
		TORCH_CHECK_WITH(OutOfMemoryError, false, "out of memory: ", size, " bytes asked, and refused for a test");
	}
	header *block = take_cached(size);
	if (!block) /* a cached one changes nothing in the sum that the cap bounds */
		make_room(static_cast<int64_t>(size));
	if (!block && !(block = map_block(size))) {
		drop_cached(0);
		block = map_block(size);
		TORCH_CHECK_WITH(OutOfMemoryError, block, "out of memory: the system refuses ", size, " bytes, ", used.load(), " in use");
	}
	block->magic = magic_used;
	block->next = nullptr;
	used += static_cast<int64_t>(block->size);
	of_thread += static_cast<int64_t>(block->size);
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
	of_thread -= static_cast<int64_t>(block->size);
	block->magic = magic_cached;
	a.cached += static_cast<int64_t>(block->size);
	header *&head = a.cache[block->room];
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

/* ---- peaks -------------------------------------------------------------------------------------------------------------------------------- */

/* A device counts one peak; here it is folded into several that begin at different times. */
class peak_board
{
      public:
	/* highest: the device's own peak, asked for under the lock. */
	template <typename Highest> void read(int64_t (&out)[TT_PEAKS], Highest highest)
	{
		std::lock_guard<std::mutex> hold(lock);
		const int64_t now = highest();
		for (size_t i = 0; i < TT_PEAKS; i++)
			out[i] = std::max(most[i], now);
	}

	/* restart: gives the device's own peak and begins it anew. */
	template <typename Restart> void reset(int which, Restart restart)
	{
		std::lock_guard<std::mutex> hold(lock);
		const int64_t before = restart();
		for (int64_t &value : most)
			value = std::max(value, before);
		most[static_cast<size_t>(which)] = 0;
	}

      private:
	std::mutex lock;
	std::array<int64_t, TT_PEAKS> most{};
};

std::array<peak_board, CUDA_DEVICES_MAX + 1> peaks; /* the CPU first */

peak_board &peaks_of(int device)
{
	return peaks[static_cast<size_t>(device + 1)];
}

} // namespace

namespace shim
{

void memory_install()
{
	c10::SetCPUAllocator(&cpu(), 1);
}

int64_t memory_of_thread()
{
	return of_thread;
}

int64_t memory_block_of(const at::DataPtr &at)
{
	if (at.get_deleter() != &cpu_allocator::release || !at.get())
		return -1;
	return static_cast<int64_t>((static_cast<const header *>(at.get_context()) - 1)->size);
}

int64_t memory_total()
{
	return meminfo_bytes("MemTotal");
}

} // namespace shim

/* ---- the door ----------------------------------------------------------------------------------------------------------------------------- */

void tt_memory_read(int device, struct tt_memory *out)
{
	*out = {};
	if (device == TT_CPU) {
		peaks_of(device).read(out->peak, [&] {
			cpu().read(out);
			return cpu().peak_now();
		});
		out->device_total = memory_total();
		out->device_free = meminfo_bytes("MemAvailable");
	} else if (cuda_known(device)) {
		cuda_device_read(device, out); /* before the lock: it may take its time */
		peaks_of(device).read(out->peak, [&] { return cuda_allocator_read(device, out); });
	} else {
		return;
	}
	account_read(device, out);
}

void tt_memory_reset_peak(int device, int which)
{
	if (which < 0 || which >= TT_PEAKS)
		return;
	if (device == TT_CPU)
		peaks_of(device).reset(which, [] { return cpu().restart_peak(); });
	else if (cuda_known(device))
		peaks_of(device).reset(which, [&] { return cuda_restart_peak(device); });
}

void tt_memory_set_cap(int device, int64_t bytes)
{
	if (device == TT_CPU)
		cpu().set_cap(bytes);
	else if (cuda_known(device))
		cuda_set_cap(device, bytes);
}

void tt_memory_trim(int device)
{
	if (device == TT_CPU)
		cpu().trim();
	else if (cuda_known(device))
		cuda_trim();
}

int64_t tt_memory_refuse(int64_t nth)
{
	return cpu().refuse(nth);
}
