/* torch_account.cpp - whose bytes they are: the weights of each model and the key and value caches of each decoder, by device. Kept by the pools as their
 * tensors come and go, so that it is right on every device, whatever ends a run.
 */
#include "models/torch_private.h"

#include <array>
#include <atomic>

namespace
{

struct sums {
	std::array<std::atomic<int64_t>, TT_OWNERS> weights, kv;
};
std::array<sums, shim::CUDA_DEVICES_MAX + 1> by_device{}; /* the CPU first */

constexpr int64_t cuda_granule = 512; /* libtorch's allocator rounds up to it */

std::atomic<int64_t> &sum_of(const at::Tensor &x, bool weights, int owner)
{
	const size_t device = x.is_cuda() ? static_cast<size_t>(x.device().index() + 1) % by_device.size() : 0;
	sums &s = by_device[device];
	return (weights ? s.weights : s.kv)[static_cast<size_t>(owner)];
}

/* What stands for x's memory: its storage, or x itself where it has none (a layout of oneDNN's own). */
const void *key_of(const at::Tensor &x)
{
	if (x.has_storage())
		return x.storage().unsafeGetStorageImpl();
	return x.unsafeGetTensorImpl();
}

int64_t bytes_of(const at::Tensor &x, int64_t fresh)
{
	if (!x.has_storage())
		return fresh;
	/* from_blob marks its storage as not resizable */
	if (!x.storage().resizable())
		return 0;
	const int64_t block = x.is_cpu() ? shim::memory_block_of(x.storage().data_ptr()) : -1;
	if (block >= 0)
		return block;
	return (static_cast<int64_t>(x.storage().nbytes()) + cuda_granule - 1) / cuda_granule * cuda_granule;
}

} // namespace

namespace shim
{

bool books::add(const at::Tensor &x, bool weights, int64_t fresh)
{
	const void *key = key_of(x);
	auto found = held.find(key);
	if (found != held.end()) {
		found->second.tensors++;
		return true;
	}
	const int64_t bytes = bytes_of(x, fresh);
	if (bytes <= 0)
		return false;
	held.emplace(key, entry{1, bytes, weights});
	sum_of(x, weights, owner) += bytes;
	return true;
}

void books::remove(const at::Tensor &x)
{
	auto found = held.find(key_of(x));
	if (--found->second.tensors > 0)
		return;
	sum_of(x, found->second.weights, owner) -= found->second.bytes;
	held.erase(found);
}

void account_read(int device, struct tt_memory *out)
{
	if (device < TT_CPU || device >= CUDA_DEVICES_MAX)
		return;
	const sums &s = by_device[static_cast<size_t>(device + 1)];
	for (size_t i = 0; i < TT_OWNERS; i++) {
		out->weights[i] = s.weights[i].load(std::memory_order_relaxed);
		out->kv[i] = s.kv[i].load(std::memory_order_relaxed);
	}
}

} // namespace shim
