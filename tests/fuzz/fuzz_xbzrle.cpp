// SPDX-License-Identifier: Apache-2.0
// Any bytes as an XBZRLE delta, and as two pages. The first two bytes are the page's size, the next two how many bytes of it
// follow; the rest is the delta, and then again the newer page. Every buffer has its exact size on the heap, so that
// AddressSanitizer sees a byte too many.
#include <memory>

#include "fuzz/judge.h"
#include "support/xbzrle_plain.h"

using namespace snap;
using namespace snap::test;

namespace {

class Exact {
 public:
  explicit Exact(std::span<const std::byte> bytes) : Exact(bytes.size()) { std::copy(bytes.begin(), bytes.end(), bytes_.get()); }
  explicit Exact(std::size_t size) : size_(size), bytes_(std::make_unique<std::byte[]>(size)) {}
  std::span<std::byte> all() { return {bytes_.get(), size_}; }
  bool holds(std::span<const std::byte> other) { return std::equal(other.begin(), other.end(), all().begin(), all().end()); }

 private:
  std::size_t size_;
  std::unique_ptr<std::byte[]> bytes_;
};

void decode(std::span<const std::byte> delta, std::span<const std::byte> page) {
  Exact wanted(page);
  const bool taken = plain_decode(delta, wanted.all());
  for (const XbzrleVersion version : kXbzrleVersions) {
    Exact input(delta), ours(page);
    demand(xbzrle_decode(version, input.all(), ours.all()) == taken, "a delta taken by some versions only");
    demand(ours.holds(wanted.all()), "a delta decoded in two ways");
  }
}

void encode(std::span<const std::byte> before, std::span<const std::byte> after, std::size_t room) {
  const auto wanted = plain_encode(before, after, room);
  for (const XbzrleVersion version : kXbzrleVersions) {
    Exact old_page(before), new_page(after), out(room);
    const auto bytes = xbzrle_encode(version, old_page.all(), new_page.all(), out.all());
    demand(bytes.has_value() == wanted.has_value(), "a delta that fits for some versions only");
    if (!bytes) continue;
    Exact delta(out.all().first(*bytes));
    demand(delta.holds(*wanted), "a delta that is another one");
    demand(xbzrle_decode(version, delta.all(), old_page.all()) && old_page.holds(after), "a delta that does not come back");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  const std::span input(reinterpret_cast<const std::byte*>(data) + 4, size - 4);
  // Up to 32 KiB, so that runs can be too long; what the input does not fill is zero.
  const std::size_t page_bytes = (data[0] | data[1] << 8) & 0x7FFF;
  Bytes page(page_bytes);
  const std::size_t given = std::min({page_bytes, std::size_t{data[2]} | std::size_t{data[3]} << 8, input.size()});
  std::copy_n(input.begin(), given, page.begin());
  const std::span rest = input.subspan(given);
  decode(rest, page);
  Bytes newer = page;
  std::copy_n(rest.begin(), std::min(page_bytes, rest.size()), newer.begin());
  encode(page, newer, xbzrle_bound(page_bytes));
  encode(page, newer, size % (page_bytes + 1));
  return 0;
}
