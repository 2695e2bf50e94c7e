// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "budget.h"
#include "inodes.h"
#include "lowlevel.h"
#include "prefetch.h"
#include "snap/import.h"
#include "touches.h"
#include "tree.h"

namespace snap::view {

namespace {

// What a snapshot has never changes. What is on the shelf may.
constexpr double kForeverSeconds = 86400;
constexpr double kShelfSeconds = 1;
constexpr std::size_t kMostLogged = 4096;

mode_t type_of(NodeKind kind) {
  switch (kind) {
    case NodeKind::kFile:
    case NodeKind::kSameFile: return S_IFREG;
    case NodeKind::kLink: return S_IFLNK;
    default: return S_IFDIR;
  }
}

/// An open file.
struct Handle {
  Place place;
  std::uint64_t inode;
  File& file;
};

/// A listing as it was when the folder was opened.
struct Listing {
  struct Entry {
    std::string name;
    mode_t type;
  };
  std::vector<Entry> entries;
};

class ServerImpl;
/// What libfuse has to say goes where we say things: it is one for the process, as is its way of telling.
ServerImpl* tells_for = nullptr;

class ServerImpl final : public Server {
 public:
  ServerImpl(std::shared_ptr<Shelf> shelf, ServerOptions options)
      : options_(std::move(options)), shelf_(std::move(shelf)), budget_(options_.cache_bytes), inodes_({}) {}
  ServerImpl(std::shared_ptr<Source> source, ServerOptions options)
      : options_(std::move(options)), budget_(options_.cache_bytes), root_(open_tree(std::move(source))), inodes_({root_, Tree::kRoot}) {}

  ~ServerImpl() override {
    cancel_ = true;
    prefetcher_.reset();
    if (session_ != nullptr) {
      fuse_session_unmount(session_);
      fuse_session_destroy(session_);
    }
    tells_for = nullptr;
  }

  bool mount(const std::string& directory);
  bool serve() override;
  void detach() override {
    cancel_ = true;
    if (const int error = unmount(directory_, true); error > 0 && error != EINVAL) log(directory_ + ": cannot unmount: " + std::strerror(error));
  }
  std::vector<TouchedRange> recording() const override { return touches_.ranges(); }
  void log(const std::string& message);

 private:
  static ServerImpl& of(fuse_req_t request) { return *static_cast<ServerImpl*>(fuse_req_userdata(request)); }
  static const fuse_lowlevel_ops& operations();

  // ---- The kernel's questions ----

  static void init(void* self, fuse_conn_info* connection);
  void lookup(fuse_req_t request, fuse_ino_t parent, const char* name);
  void forget(fuse_ino_t inode, std::uint64_t times) { inodes_.forget(inode, times); }
  void getattr(fuse_req_t request, fuse_ino_t inode);
  void readlink(fuse_req_t request, fuse_ino_t inode);
  void open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info);
  void read(fuse_req_t request, std::size_t size, std::uint64_t offset, const Handle& handle);
  void lseek(fuse_req_t request, std::uint64_t offset, int whence, const Handle& handle);
  void fallocate(fuse_req_t request, int mode, std::uint64_t offset, std::uint64_t length, const Handle& handle);
  void write(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, const fuse_file_info* info);
  void opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info);
  void readdir(fuse_req_t request, std::size_t size, std::size_t offset, const Listing& listing);
  void statfs(fuse_req_t request);
  static void getxattr(fuse_req_t request, const char* name, std::size_t size);

  // ---- What they are about ----

  std::shared_ptr<Tree> open_tree(std::shared_ptr<Source> source);
  std::shared_ptr<Tree> from_shelf(const std::string& name);
  Place child(const Place& folder, const char* name);
  struct stat attributes(std::uint64_t inode, const Place& place) const;
  void touch_main_memory();
  void answer();
  void log(const Tree& tree, const Error& error) { log(tree.source().explain(error)); }

  ServerOptions options_;
  std::shared_ptr<Shelf> shelf_;
  std::atomic<bool> cancel_{false};
  Budget budget_;
  std::shared_ptr<Tree> root_;  // null: the shelf
  Inodes inodes_;
  Touches touches_;
  std::string directory_;
  fuse_session* session_ = nullptr;
  std::unique_ptr<Prefetcher> prefetcher_;
  std::atomic<bool> failed_{false};

  std::mutex shelf_mutex_;
  std::map<std::string, std::pair<std::string, std::weak_ptr<Tree>>> taken_;  // from the shelf: name, identity

  std::mutex log_mutex_;
  std::set<std::string> logged_;
};

// ---- Trees ----

std::shared_ptr<Tree> ServerImpl::open_tree(std::shared_ptr<Source> source) {
  budget_.add(source->reader());
  return {new Tree(std::move(source), options_.threads, cancel_), [this](Tree* tree) {
            budget_.remove(tree->reader());
            delete tree;
          }};
}

std::shared_ptr<Tree> ServerImpl::from_shelf(const std::string& name) {
  const std::lock_guard lock(shelf_mutex_);
  const std::string identity = shelf_->identity(name);
  const auto known = taken_.find(name);
  if (known != taken_.end() && (identity.empty() || known->second.first != identity)) taken_.erase(known);
  if (identity.empty()) return nullptr;
  auto& [is, tree] = taken_[name];
  if (auto open = tree.lock()) return open;
  auto source = shelf_->open(name);
  if (!source) {
    taken_.erase(name);
    return nullptr;
  }
  auto open = open_tree(std::move(source));
  is = identity;
  tree = open;
  return open;
}

Place ServerImpl::child(const Place& folder, const char* name) {
  if (!folder.tree) return {shelf_ ? from_shelf(name) : nullptr, Tree::kRoot};
  const std::size_t found = folder.tree->find(folder.node, name);
  if (found == 0) return {};
  if (folder.tree->node(found).kind == NodeKind::kSameFile) return {folder.tree, folder.tree->node(found).same};
  if (folder.tree->node(found).kind == NodeKind::kParent) return {folder.tree->parent(), Tree::kRoot};
  return {folder.tree, found};
}

struct stat ServerImpl::attributes(std::uint64_t inode, const Place& place) const {
  constexpr mode_t kForAll = 0111;
  const struct stat& like = place.tree ? place.tree->source().status() : shelf_->status();
  struct stat status {};
  status.st_ino = inode;
  status.st_uid = like.st_uid;
  status.st_gid = like.st_gid;
  status.st_atim = like.st_mtim;
  status.st_mtim = like.st_mtim;
  status.st_ctim = like.st_mtim;
  status.st_nlink = 1;
  status.st_blksize = kMostRead;
  const mode_t readable = like.st_mode & 0444;
  if (!place.tree || place.tree->node(place.node).kind == NodeKind::kFolder) {
    status.st_mode = S_IFDIR | readable | (readable >> 2 & kForAll);
    status.st_nlink = 2;
  } else if (const Node& node = place.tree->node(place.node); node.kind == NodeKind::kLink) {
    status.st_mode = S_IFLNK | 0777;
    status.st_size = static_cast<off_t>(node.target.size());
  } else {
    // QEMU opens memory files for writing also where it maps them for itself.
    status.st_mode = S_IFREG | readable | (readable >> 1 & 0222);
    status.st_size = static_cast<off_t>(node.file->size());
    status.st_blocks = static_cast<blkcnt_t>(node.file->stored_bytes() / 512);
  }
  return status;
}

void ServerImpl::log(const std::string& message) {
  {
    const std::lock_guard lock(log_mutex_);
    if (logged_.size() >= kMostLogged || !logged_.insert(message).second) return;
  }
  if (options_.log) options_.log(message);
}

// ---- Answers ----

void ServerImpl::init(void*, fuse_conn_info* connection) {
  connection->max_write = kMostRead;  // gives the number of pages of a request, reads included
  connection->max_read = kMostRead;
  connection->max_background = 64;
  connection->congestion_threshold = 48;
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ);
  connection->want |= connection->capable & (FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS);
}

void ServerImpl::lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const Place folder = inodes_.find(parent);
  const Place found = child(folder, name);
  if (!found.tree) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = inodes_.remember(found);
  entry.attr = attributes(entry.ino, found);
  entry.entry_timeout = folder.tree ? kForeverSeconds : kShelfSeconds;
  const Node& node = found.tree->node(found.node);
  entry.attr_timeout = node.file && node.file->grows() ? 0 : kForeverSeconds;
  if (fuse_reply_entry(request, &entry) != 0) inodes_.forget(entry.ino, 1);
}

void ServerImpl::getattr(fuse_req_t request, fuse_ino_t inode) {
  const Place place = inodes_.find(inode);
  if (!place.tree && inode != Inodes::kRoot) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  const struct stat status = attributes(inode, place);
  const bool grows = place.tree && place.tree->node(place.node).file && place.tree->node(place.node).file->grows();
  fuse_reply_attr(request, &status, grows ? 0 : kForeverSeconds);
}

void ServerImpl::readlink(fuse_req_t request, fuse_ino_t inode) {
  const Place place = inodes_.find(inode);
  fuse_reply_readlink(request, place.tree ? place.tree->node(place.node).target.c_str() : "");
}

void ServerImpl::open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
  Place place = inodes_.find(inode);
  if (!place.tree || !place.tree->node(place.node).file) {
    fuse_reply_err(request, EISDIR);
    return;
  }
  File& file = *place.tree->node(place.node).file;
  if (auto ready = file.prepare(); !ready) {
    log(*place.tree, ready.error());
    fuse_reply_err(request, EIO);
    return;
  }
  if (options_.prefetch && place.tree != root_) prefetcher_->start(inode, place.tree, file, place.tree->source().working_set());
  if (options_.prefetch && place.tree == root_) prefetcher_->start(inode, place.tree, file, options_.working_set);
  auto handle = std::make_unique<Handle>(Handle{std::move(place), inode, file});
  info->fh = reinterpret_cast<std::uint64_t>(handle.get());
  info->keep_cache = 1;
  info->direct_io = file.grows() ? 1 : 0;  // the kernel does not know where it ends
  if (fuse_reply_open(request, info) == 0) (void)handle.release();
}

void ServerImpl::read(fuse_req_t request, std::size_t size, std::uint64_t offset, const Handle& handle) {
  thread_local Answer answer;
  if (options_.record && handle.place.tree == root_) {
    handle.file.shown(offset, size, [&](const Stretch& part) {
      touches_.note(part.region, root_->reader().regions()[part.region].size, part.offset, part.length);
    });
  }
  // Never less than was asked for: the kernel would take it for the end of the file.
  if (auto done = handle.file.read(offset, size, answer); !done) {
    log(*handle.place.tree, done.error());
    fuse_reply_err(request, EIO);
    return;
  }
  fuse_reply_iov(request, answer.pieces().data(), static_cast<int>(answer.pieces().size()));
}

void ServerImpl::lseek(fuse_req_t request, std::uint64_t offset, int whence, const Handle& handle) {
  if (offset >= handle.file.size()) {
    fuse_reply_err(request, ENXIO);
    return;
  }
  const auto found = whence == SEEK_DATA ? handle.file.next_data(offset) : handle.file.next_hole(offset);
  if (!found) {
    log(*handle.place.tree, found.error());
    fuse_reply_err(request, EIO);
  } else if (whence == SEEK_DATA && *found == handle.file.size()) {
    fuse_reply_err(request, ENXIO);
  } else {
    fuse_reply_lseek(request, static_cast<off_t>(*found));
  }
}

// A guest's balloon punches holes into the file that its memory is mapped from; it loses nothing when they are not made.
void ServerImpl::fallocate(fuse_req_t request, int mode, std::uint64_t offset, std::uint64_t length, const Handle& handle) {
  const bool harmless = mode == 0 || mode == FALLOC_FL_KEEP_SIZE || mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
  const std::uint64_t size = handle.file.size();
  const bool inside = offset <= size && length <= size - offset;
  fuse_reply_err(request, !harmless ? EOPNOTSUPP : inside || mode != 0 ? 0 : EROFS);
}

// A page that somebody wrote through a shared mapping is in the kernel's cache, and everybody would read it from there.
void ServerImpl::write(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, const fuse_file_info* info) {
  const bool mapped = info->writepage != 0;
  fuse_reply_err(request, EROFS);
  if (!mapped) return;
  fuse_lowlevel_notify_inval_inode(session_, inode, offset, static_cast<off_t>(size));
  log(options_.name + ": somebody writes through a shared mapping, which is undone; QEMU needs share=off");
}

void ServerImpl::opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
  const Place place = inodes_.find(inode);
  auto listing = std::make_unique<Listing>();
  listing->entries = {{".", S_IFDIR}, {"..", S_IFDIR}};
  if (place.tree) {
    for (const std::size_t child : place.tree->node(place.node).children) {
      const Node& node = place.tree->node(child);
      listing->entries.push_back({node.name, type_of(node.kind)});
    }
  } else if (shelf_) {
    for (std::string& name : shelf_->names()) listing->entries.push_back({std::move(name), S_IFDIR});
  }
  info->fh = reinterpret_cast<std::uint64_t>(listing.get());
  if (fuse_reply_open(request, info) == 0) (void)listing.release();
}

void ServerImpl::readdir(fuse_req_t request, std::size_t size, std::size_t offset, const Listing& listing) {
  std::vector<char> text(std::min(size, kMostRead));
  std::size_t used = 0;
  for (std::size_t i = offset; i < listing.entries.size(); ++i) {
    struct stat status {};
    status.st_mode = listing.entries[i].type;
    status.st_ino = ~ino_t{0};  // it gets its number when it is looked up
    const std::size_t more =
        fuse_add_direntry(request, text.data() + used, text.size() - used, listing.entries[i].name.c_str(), &status, static_cast<off_t>(i + 1));
    if (more > text.size() - used) break;
    used += more;
  }
  fuse_reply_buf(request, text.data(), used);
}

void ServerImpl::statfs(fuse_req_t request) {
  struct statvfs status {};
  status.f_bsize = kPageBytes;
  status.f_frsize = kPageBytes;
  status.f_namemax = NAME_MAX;
  if (root_) {
    for (const RegionInfo& each : root_->reader().regions()) status.f_blocks += each.size / kPageBytes;
  }
  fuse_reply_statfs(request, &status);
}

void ServerImpl::getxattr(fuse_req_t request, const char* name, std::size_t size) {
  const std::string value = std::to_string(::getpid());
  if (std::strcmp(name, kServerAttribute) != 0) {
    fuse_reply_err(request, ENODATA);
  } else if (size == 0) {
    fuse_reply_xattr(request, value.size());
  } else if (size < value.size()) {
    fuse_reply_err(request, ERANGE);
  } else {
    fuse_reply_buf(request, value.data(), value.size());
  }
}

template <typename Call>
void guarded(fuse_req_t request, Call call) {
  try {
    call();
  } catch (const std::bad_alloc&) {
    fuse_reply_err(request, ENOMEM);
  } catch (...) {
    fuse_reply_err(request, EIO);
  }
}

const fuse_lowlevel_ops& ServerImpl::operations() {
  static const fuse_lowlevel_ops table = [] {
    const auto handle = [](const fuse_file_info* info) -> const Handle& { return *reinterpret_cast<const Handle*>(info->fh); };
    static constexpr auto as_handle = handle;
    fuse_lowlevel_ops ops{};
    ops.init = init;
    ops.lookup = [](fuse_req_t r, fuse_ino_t parent, const char* name) { guarded(r, [&] { of(r).lookup(r, parent, name); }); };
    ops.forget = [](fuse_req_t r, fuse_ino_t inode, std::uint64_t times) {
      of(r).forget(inode, times);
      fuse_reply_none(r);
    };
    ops.forget_multi = [](fuse_req_t r, std::size_t count, fuse_forget_data* all) {
      for (std::size_t i = 0; i < count; ++i) of(r).forget(all[i].ino, all[i].nlookup);
      fuse_reply_none(r);
    };
    ops.getattr = [](fuse_req_t r, fuse_ino_t inode, fuse_file_info*) { guarded(r, [&] { of(r).getattr(r, inode); }); };
    ops.setattr = [](fuse_req_t r, fuse_ino_t, struct stat*, int, fuse_file_info*) { fuse_reply_err(r, EROFS); };
    ops.readlink = [](fuse_req_t r, fuse_ino_t inode) { guarded(r, [&] { of(r).readlink(r, inode); }); };
    ops.open = [](fuse_req_t r, fuse_ino_t inode, fuse_file_info* info) { guarded(r, [&] { of(r).open(r, inode, info); }); };
    ops.read = [](fuse_req_t r, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
      guarded(r, [&] { of(r).read(r, size, static_cast<std::uint64_t>(offset), as_handle(info)); });
    };
    ops.write = [](fuse_req_t r, fuse_ino_t inode, const char*, std::size_t size, off_t offset, fuse_file_info* info) {
      of(r).write(r, inode, size, offset, info);
    };
    ops.release = [](fuse_req_t r, fuse_ino_t, fuse_file_info* info) {
      fuse_reply_err(r, 0);
      delete reinterpret_cast<Handle*>(info->fh);
    };
    ops.fsync = [](fuse_req_t r, fuse_ino_t, int, fuse_file_info*) { fuse_reply_err(r, 0); };
    ops.opendir = [](fuse_req_t r, fuse_ino_t inode, fuse_file_info* info) { guarded(r, [&] { of(r).opendir(r, inode, info); }); };
    ops.readdir = [](fuse_req_t r, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
      guarded(r, [&] { of(r).readdir(r, size, static_cast<std::size_t>(offset), *reinterpret_cast<const Listing*>(info->fh)); });
    };
    ops.releasedir = [](fuse_req_t r, fuse_ino_t, fuse_file_info* info) {
      fuse_reply_err(r, 0);
      delete reinterpret_cast<Listing*>(info->fh);
    };
    ops.statfs = [](fuse_req_t r, fuse_ino_t) { of(r).statfs(r); };
    ops.getxattr = [](fuse_req_t r, fuse_ino_t, const char* name, std::size_t size) { getxattr(r, name, size); };
    ops.lseek = [](fuse_req_t r, fuse_ino_t, off_t offset, int whence, fuse_file_info* info) {
      guarded(r, [&] { of(r).lseek(r, static_cast<std::uint64_t>(offset), whence, as_handle(info)); });
    };
    ops.fallocate = [](fuse_req_t r, fuse_ino_t, int mode, off_t offset, off_t length, fuse_file_info* info) {
      of(r).fallocate(r, mode, static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(length), as_handle(info));
    };
    return ops;
  }();
  return table;
}

// ---- The mount ----

/// Commas and backslashes are the option parser's own.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

void tell(fuse_log_level level, const char* format, va_list arguments) {
  if (level > FUSE_LOG_WARNING || tells_for == nullptr) return;
  std::array<char, 512> text;
  std::vsnprintf(text.data(), text.size(), format, arguments);
  std::string message(text.data());
  while (message.ends_with('\n')) message.pop_back();
  tells_for->log(message);
}

bool ServerImpl::mount(const std::string& directory) {
  tells_for = this;
  fuse_set_log_func(tell);
  directory_ = directory;
  std::string mount_options = "nosuid,nodev,default_permissions,subtype=vmsnap,max_read=" + std::to_string(kMostRead) + ",fsname=" + escaped(options_.name);
  if (options_.allow_other) mount_options += ",allow_other";
  if (options_.read_only) mount_options += ",ro";
  char* words[] = {const_cast<char*>("vmsnap"), const_cast<char*>("-o"), mount_options.data()};
  fuse_args arguments = FUSE_ARGS_INIT(3, words);
  session_ = fuse_session_new(&arguments, &operations(), sizeof(fuse_lowlevel_ops), this);
  fuse_opt_free_args(&arguments);
  if (session_ == nullptr) return false;
  if (fuse_session_mount(session_, directory.c_str()) != 0) return false;
  prefetcher_ = std::make_unique<Prefetcher>(session_, std::min(options_.threads, 2u));
  if (root_ && options_.working_set.empty() && options_.prefetch) options_.working_set = root_->source().working_set();
  return true;
}

void ServerImpl::answer() {
  fuse_buf request{};
  while (!fuse_session_exited(session_)) {
    const int got = fuse_session_receive_buf(session_, &request);
    if (got == -EINTR || got == -EAGAIN) continue;
    if (got <= 0) {
      if (got < 0) failed_ = true;
      fuse_session_exit(session_);
      break;
    }
    fuse_session_process_buf(session_, &request);
  }
  std::free(request.mem);
}

/// The kernel has to know a file before it takes its memory; main memory is what a VMM will map.
void ServerImpl::touch_main_memory() {
  const auto main = main_memory(root_->reader());
  if (!main) return;
  for (std::size_t i = 0; i < root_->size(); ++i) {
    const Node& node = root_->node(i);
    const bool is_main = node.file && node.file->stretches().size() == 1 && node.file->size() == root_->reader().regions()[*main].size &&
                         node.file->stretches()[0].region == *main && root_->node(node.up).name == "regions";
    struct stat status {};
    const std::string path = directory_ + "/regions/" + node.name;
    if (is_main && ::stat(path.c_str(), &status) == 0) prefetcher_->start(status.st_ino, root_, *node.file, options_.working_set);
  }
}

bool ServerImpl::serve() {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < options_.threads; ++i) threads.emplace_back([this] { answer(); });
  if (root_ && options_.prefetch && !options_.working_set.empty()) touch_main_memory();
  for (std::thread& each : threads) each.join();
  cancel_ = true;
  prefetcher_.reset();
  return !failed_;
}

template <typename What>
std::unique_ptr<Server> mount_any(std::shared_ptr<What> what, const std::string& directory, ServerOptions options) {
  auto server = std::make_unique<ServerImpl>(std::move(what), std::move(options));
  if (!server->mount(directory)) return nullptr;
  return server;
}

}  // namespace

std::unique_ptr<Server> Server::mount(std::shared_ptr<Source> source, const std::string& directory, ServerOptions options) {
  return mount_any(std::move(source), directory, std::move(options));
}

std::unique_ptr<Server> Server::mount(std::shared_ptr<Shelf> shelf, const std::string& directory, ServerOptions options) {
  return mount_any(std::move(shelf), directory, std::move(options));
}

}  // namespace snap::view
