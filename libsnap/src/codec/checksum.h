// SPDX-License-Identifier: Apache-2.0
// Checks (XXH3) against decay, digests (BLAKE3) for identity: SPEC 2 and 11.
#pragma once

#include <cstdint>
#include <span>

#include "snap/model.h"

namespace snap {

std::uint64_t check64(std::span<const std::byte> bytes, std::uint64_t seed = 0);
/// The same over two pieces that follow each other.
std::uint64_t check64(std::span<const std::byte> first, std::span<const std::byte> second, std::uint64_t seed);

/// BLAKE3 of any bytes.
Digest digest_of(std::span<const std::byte> bytes);

/// The digest of 2^height zero pages, height 0 … 40.
const Digest& zero_digest(unsigned height);

/// Digests of many pages at once: pages[i] points to 4096 bytes. As many lanes as the processor has are used.
void page_digests(std::span<const std::byte* const> pages, Digest* out);

/// digest(l + r) for each neighbouring pair of nodes: out[i] from nodes[2i], nodes[2i+1]. `out` may be `nodes`.
void pair_digests(const Digest* nodes, std::size_t pairs, Digest* out);

/// The digest over a power-of-two number of neighbouring nodes of one height. `nodes` is used up.
Digest tree_digest(std::span<Digest> nodes);

/// From a subtree that begins at page 0 up to the height of the whole region's tree.
Digest region_tree_digest(Digest subtree, unsigned height);

}  // namespace snap
