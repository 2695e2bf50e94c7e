// SPDX-License-Identifier: Apache-2.0
#include "codec/checksum.h"

// The streaming state on the stack needs its definition, which the header shows only so.
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

extern "C" {
#include <blake3.h>
#include <blake3_impl.h>
}

#include "codec/check_avx2.h"
#include "format/limits.h"

namespace snap {

namespace {

constexpr std::size_t kLanes = 16;
constexpr std::size_t kChunkBytes = BLAKE3_CHUNK_LEN;
constexpr std::size_t kChunksPerPage = kPageBytes / kChunkBytes;
static_assert(kChunksPerPage == 4);

const std::uint8_t* raw(const std::byte* bytes) { return reinterpret_cast<const std::uint8_t*>(bytes); }

// BLAKE3 looks at the processor when first called, and writes down what it found without a lock: everything here asks this first,
// so that one thread does so and the others wait.
std::size_t simd_degree() {
  static const std::size_t degree = blake3_simd_degree();
  return degree;
}

// Lanes left empty cost as much as those in use, but the rest one by one costs more. With AVX-512 and two or four lanes, BLAKE3 1.3.1
// reads up to 48 bytes past the first input, which may be the last that is mapped: there eight are the least.
std::size_t fill_lanes(std::size_t count, const std::uint8_t** inputs) {
  std::size_t lanes = std::min<std::size_t>(std::bit_ceil(count), std::max(count, simd_degree()));
  if (simd_degree() >= 16 && count > 1) lanes = std::max<std::size_t>(lanes, 8);
  std::fill(inputs + count, inputs + lanes, inputs[0]);
  return lanes;
}

// Up to kLanes pages. A page is four chunks and three parents of BLAKE3's tree; hash_many takes one of each from every page at once.
void digest_lanes(std::span<const std::byte* const> pages, Digest* out) {
  const std::size_t count = pages.size();
  std::uint8_t chunk_values[kLanes][kChunksPerPage][BLAKE3_OUT_LEN];
  std::uint8_t values[kLanes * BLAKE3_OUT_LEN];
  const std::uint8_t* inputs[kLanes];
  for (std::size_t chunk = 0; chunk < kChunksPerPage; ++chunk) {
    for (std::size_t i = 0; i < count; ++i) inputs[i] = raw(pages[i]) + chunk * kChunkBytes;
    blake3_hash_many(inputs, fill_lanes(count, inputs), kChunkBytes / BLAKE3_BLOCK_LEN, IV, chunk, false, 0, CHUNK_START, CHUNK_END, values);
    for (std::size_t i = 0; i < count; ++i) std::memcpy(chunk_values[i][chunk], values + i * BLAKE3_OUT_LEN, BLAKE3_OUT_LEN);
  }
  std::uint8_t parents[kLanes][2][BLAKE3_OUT_LEN];
  for (std::size_t side = 0; side < 2; ++side) {
    for (std::size_t i = 0; i < count; ++i) inputs[i] = chunk_values[i][2 * side];
    blake3_hash_many(inputs, count, 1, IV, 0, false, PARENT, 0, 0, values);
    for (std::size_t i = 0; i < count; ++i) std::memcpy(parents[i][side], values + i * BLAKE3_OUT_LEN, BLAKE3_OUT_LEN);
  }
  for (std::size_t i = 0; i < count; ++i) inputs[i] = parents[i][0];
  blake3_hash_many(inputs, count, 1, IV, 0, false, PARENT | ROOT, 0, 0, values);
  for (std::size_t i = 0; i < count; ++i) std::memcpy(out[i].bytes.data(), values + i * BLAKE3_OUT_LEN, BLAKE3_OUT_LEN);
}

std::array<Digest, format::kDigestTreeHeight + 1> make_zero_digests() {
  std::array<Digest, format::kDigestTreeHeight + 1> digests;
  static constexpr std::byte zeros[kPageBytes]{};
  digests[0] = digest_of(zeros);
  for (std::size_t height = 1; height < digests.size(); ++height) {
    const Digest pair[2] = {digests[height - 1], digests[height - 1]};
    pair_digests(pair, 1, &digests[height]);
  }
  return digests;
}

}  // namespace

std::uint64_t check64(std::span<const std::byte> bytes, std::uint64_t seed) {
  static const bool avx2 = has_check_avx2();
  if (avx2) return check64_avx2(bytes.data(), bytes.size(), seed);
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint64_t check64(std::span<const std::byte> first, std::span<const std::byte> second, std::uint64_t seed) {
  XXH3_state_t state;
  XXH3_64bits_reset_withSeed(&state, seed);
  XXH3_64bits_update(&state, first.data(), first.size());
  XXH3_64bits_update(&state, second.data(), second.size());
  return XXH3_64bits_digest(&state);
}

Digest digest_of(std::span<const std::byte> bytes) {
  simd_degree();
  blake3_hasher hasher;
  blake3_hasher_init(&hasher);
  blake3_hasher_update(&hasher, bytes.data(), bytes.size());
  Digest digest;
  blake3_hasher_finalize(&hasher, digest.bytes.data(), digest.bytes.size());
  return digest;
}

const Digest& zero_digest(unsigned height) {
  static const auto digests = make_zero_digests();
  return digests[height];
}

void page_digests(std::span<const std::byte* const> pages, Digest* out) {
  for (std::size_t at = 0; at < pages.size(); at += kLanes) {
    digest_lanes(pages.subspan(at, std::min(kLanes, pages.size() - at)), out + at);
  }
}

void pair_digests(const Digest* nodes, std::size_t pairs, Digest* out) {
  static_assert(sizeof(Digest) == BLAKE3_OUT_LEN);
  simd_degree();
  std::uint8_t values[kLanes * BLAKE3_OUT_LEN];
  const std::uint8_t* inputs[kLanes];
  for (std::size_t at = 0; at < pairs; at += kLanes) {
    const std::size_t count = std::min(kLanes, pairs - at);
    for (std::size_t i = 0; i < count; ++i) inputs[i] = nodes[2 * (at + i)].bytes.data();
    // 64 bytes are one chunk of one block, which is the root of its tree.
    blake3_hash_many(inputs, count, 1, IV, 0, false, 0, CHUNK_START, CHUNK_END | ROOT, values);
    std::memcpy(out + at, values, count * BLAKE3_OUT_LEN);
  }
}

Digest tree_digest(std::span<Digest> nodes) {
  for (std::size_t count = nodes.size(); count > 1; count /= 2) pair_digests(nodes.data(), count / 2, nodes.data());
  return nodes[0];
}

Digest region_tree_digest(Digest subtree, unsigned height) {
  for (; height < format::kDigestTreeHeight; ++height) {
    const Digest pair[2] = {subtree, zero_digest(height)};
    pair_digests(pair, 1, &subtree);
  }
  return subtree;
}

}  // namespace snap
