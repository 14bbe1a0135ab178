"""The rules of messages: sending, editing, deleting and reacting, and their gateway events."""

from typing import Any

from trawler_sandbox.discord import errors, serializers
from trawler_sandbox.discord.drafts import Draft, Upload, rewritten
from trawler_sandbox.discord.hub import Event, Hub, Listener
from trawler_sandbox.discord.permissions import Permission
from trawler_sandbox.discord.world import (
    PUBLIC_THREAD,
    Attachment,
    Channel,
    Guild,
    Message,
    User,
)

Json = dict[str, Any]
MOST_FILES = 10


class Messages:
    """All operations on messages, for every kind of client."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._nonces: dict[tuple[int, int, str | int], tuple[float, Message]] = {}

    # sending ----------------------------------------------------------------------------------

    def send(self, author: User, channel: Channel, draft: Draft) -> Message:
        """Send a message as a user, who needs the permissions for it. Raises DiscordError."""
        wanted = [
            Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
        ]
        if draft.uploads:
            wanted.append(Permission.ATTACH_FILES)
        if draft.reply_to is not None:
            wanted.append(Permission.READ_MESSAGE_HISTORY)
        self._hub.require(channel, author, *wanted)
        if not channel.recipients:
            self._open(channel, author)
        elif any(not each.accepts_dms for each in channel.recipients if each is not author):
            raise errors.CANNOT_DM
        guild = self._hub.world.guild_of(channel)
        draft.check_size(guild, guild.upload_bytes if guild else 10 * 1024 * 1024)
        if (earlier := self._earlier(author, channel, draft)) is not None:
            return earlier
        self._require_pace(author, channel)
        message = self.make(author, channel, draft)
        if draft.nonce is not None:
            self._nonces[author.id, channel.id, draft.nonce] = (self._hub.now(), message)
        return message

    def _require_pace(self, author: User, channel: Channel) -> None:
        """Enforce slow mode. Users with Manage Messages are exempt, and so are apps. Raises
        DiscordError.
        """
        if not channel.slow_seconds or author.bot:
            return
        last = max((m.created for m in channel.messages.values() if m.author is author), default=0)
        wait = last + channel.slow_seconds - self._hub.now()
        exempt = self._hub.permissions(channel, author) & Permission.MANAGE_MESSAGES
        if wait > 0 and not exempt:
            raise errors.SLOW_MODE

    def announce(self, channel: Channel) -> None:
        """Notify everyone who sees a new channel or thread."""
        name = "THREAD_CREATE" if channel.is_thread else "CHANNEL_CREATE"
        body = serializers.channel(channel) | ({"newly_created": True} if channel.is_thread else {})
        guild = self._where_of(channel)
        self._hub.tell(Event(name, lambda _: body, guild=guild, channel=channel))

    def remove_channel(self, channel: Channel) -> None:
        """Delete a channel or a thread with everything in it, as a moderator does."""
        guild = self._where_of(channel)
        assert guild is not None
        name = "THREAD_DELETE" if channel.is_thread else "CHANNEL_DELETE"
        body = serializers.channel(channel)
        if channel.is_thread:
            body = {key: body[key] for key in ("id", "guild_id", "parent_id", "type")}
        self._hub.tell(Event(name, lambda _: body, guild=guild, channel=channel))
        del guild.channels[channel.id]

    def _open(self, channel: Channel, author: User) -> None:
        """Unarchive a thread for a new message. Raises DiscordError if it is locked and the author
        may not manage threads.
        """
        if not channel.archived:
            return
        managing = self._hub.permissions(channel, author) & Permission.MANAGE_THREADS
        if channel.locked and not managing:
            raise errors.ARCHIVED
        self.archive(channel, archived=False, locked=channel.locked)

    def _earlier(self, author: User, channel: Channel, draft: Draft) -> Message | None:
        if draft.nonce is None or not draft.enforce_nonce:
            return None
        at, message = self._nonces.get((author.id, channel.id, draft.nonce), (0.0, None))
        return message if self._hub.now() - at <= self._hub.limits.nonce_seconds else None

    def make(self, author: User, channel: Channel, draft: Draft, **more: Any) -> Message:
        """Create a message without a permission check: a response to an interaction needs none.
        Raises DiscordError for an empty or blocked message.
        """
        something = draft.content or draft.embeds or draft.uploads or draft.components
        if not (something or more.get("snapshot")):
            raise errors.EMPTY_MESSAGE
        self._check_words(author, channel, draft)
        if not self._embeds(author, channel):
            draft.embeds = []  # Discord drops them silently
        message = Message(
            self._hub.world.new_id(),
            channel,
            author,
            draft.content,
            self._hub.now(),
            embeds=draft.embeds,
            components=draft.components,
            attachments=[self._attach(each, draft) for each in draft.uploads],
            mentions=self._mentioned(channel, draft),
            rings_all=draft.pings_everyone(),
            flags=draft.flags & ~(1 << 6),
            nonce=draft.nonce,
            reference=self._referenced(channel, draft),
            **more,
        )
        channel.messages[message.id] = message
        self.tell("MESSAGE_CREATE", message)
        return message

    def _check_words(self, author: User, channel: Channel, draft: Draft) -> None:
        """Apply AutoMod. Members who may manage the guild are exempt, bots are not. Raises
        DiscordError.
        """
        guild = self._where_of(channel)
        member = guild.members.get(author.id) if guild is not None else None
        person = member is not None and not author.bot
        if person and self._hub.permissions(channel, author) & Permission.MANAGE_GUILD:
            return
        draft.check_words(guild)

    def _embeds(self, author: User, channel: Channel) -> bool:
        """Whether an author's embeds are shown in a channel. An app that is not a member is not
        restricted: it answers on behalf of the user who installed it.
        """
        guild = self._where_of(channel)
        if guild is None or author.id not in guild.members:
            return True
        return bool(self._hub.permissions(channel, author) & Permission.EMBED_LINKS)

    def forward(self, author: User, channel: Channel, message: Message) -> Message:
        """Forward a message to a channel, in its current state."""
        return self.make(author, channel, Draft(given=frozenset()), snapshot=message)

    def _attach(self, upload: Upload, draft: Draft) -> Attachment:
        about = next((a for a in draft.attachments if str(a.get("id")) == str(upload.slot)), {})
        kept = Attachment(
            self._hub.world.new_id(),
            rewritten(about.get("filename") or upload.filename),
            upload.path,
            upload.size,
            upload.sha256,
            upload.content_type,
            about.get("description"),
        )
        self._hub.files[kept.id] = kept
        return kept

    def _mentioned(self, channel: Channel, draft: Draft) -> list[User]:
        """The users that a draft mentions, including the author of the message that it replies to
        unless `replied_user` is off (docs, Allowed Mentions).
        """
        found = self._users(draft.mentioned())
        replied = self._referenced(channel, draft)
        quiet = draft.allowed is not None and not draft.allowed.get("replied_user", False)
        if replied is not None and not quiet and replied.author not in found:
            found.append(replied.author)
        return found

    def _users(self, ids: list[int]) -> list[User]:
        users = self._hub.world.users
        return [users[each] for each in dict.fromkeys(ids) if each in users]

    def _referenced(self, channel: Channel, draft: Draft) -> Message | None:
        if draft.reply_to is None:
            return None
        found = channel.messages.get(draft.reply_to)
        if found is None:
            raise errors.invalid_form(
                "message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message"
            )
        return found

    # editing ----------------------------------------------------------------------------------

    def find(self, channel: Channel, message_id: int, viewer: User) -> Message:
        """A message that a user may read with their own token; a bot never reads an ephemeral one.
        Raises DiscordError.
        """
        self._hub.require(channel, viewer)
        message = channel.messages.get(message_id)
        if message is None or (message.for_user is not None and viewer.bot):
            raise errors.unknown("Message")
        if not message.visible_to(viewer.id):
            raise errors.unknown("Message")
        return message

    def edit(self, author: User, message: Message, draft: Draft, *, most: int) -> Message:
        """Change the fields that the draft gives. `most`: maximum bytes of a new file. Raises
        DiscordError.
        """
        if message.author is not author:
            raise errors.NOT_THE_AUTHOR
        channel, now = message.channel, self._hub.now()
        if channel.archived:
            raise errors.ARCHIVED
        guild = self._hub.world.guild_of(channel)
        draft.check_size(guild, most)
        self._check_words(author, channel, draft)
        if now - message.created > self._hub.limits.old_seconds:
            if message.late_edits >= self._hub.limits.old_edits:
                raise errors.OLD_EDITS
            message.late_edits += 1
        self._change(message, draft)
        message.edited = now
        self.tell("MESSAGE_UPDATE", message)
        return message

    def _change(self, message: Message, draft: Draft) -> None:
        """Apply all changes or none. Raises DiscordError."""
        kept = message.attachments
        if "attachments" in draft.given:
            wanted = {str(each.get("id")) for each in draft.attachments}
            kept = [each for each in kept if str(each.id) in wanted]
        if len(kept) + len(draft.uploads) > MOST_FILES:
            raise errors.invalid_form(
                "attachments", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length."
            )
        content = draft.content if "content" in draft.given else message.content
        embeds = draft.embeds if "embeds" in draft.given else message.embeds
        components = draft.components if "components" in draft.given else message.components
        if not (content or embeds or components or kept or draft.uploads):
            raise errors.EMPTY_MESSAGE
        if "content" in draft.given:
            message.mentions = self._users(draft.mentioned())
        shown = self._embeds(message.author, message.channel)
        message.content, message.components = content, components
        message.embeds = embeds if shown else []
        message.attachments = kept + [self._attach(each, draft) for each in draft.uploads]

    def delete(self, message: Message) -> None:
        message.channel.messages.pop(message.id, None)
        where = self._where(message)
        self._hub.tell(
            Event(
                "MESSAGE_DELETE",
                lambda _: {
                    "id": str(message.id),
                    "channel_id": str(message.channel.id),
                    **({"guild_id": str(where.id)} if where else {}),
                },
                guild=where,
                channel=message.channel,
                users=self._only(message),
            )
        )

    def react(self, user: User, message: Message, emoji: str, *, add: bool) -> None:
        """Add or remove the reaction of one user."""
        by = message.reactions.setdefault(emoji, [])
        if (user.id in by) is add:
            return
        by.append(user.id) if add else by.remove(user.id)
        where = self._where(message)
        body = {
            "user_id": str(user.id),
            "channel_id": str(message.channel.id),
            "message_id": str(message.id),
            "emoji": {"id": None, "name": emoji},
            "burst": False,
            "type": 0,
            **({"guild_id": str(where.id)} if where else {}),
        }
        if where is not None and add:
            body["member"] = serializers.member(where.members[user.id])
        name = "MESSAGE_REACTION_ADD" if add else "MESSAGE_REACTION_REMOVE"
        self._hub.tell(Event(name, lambda _: body, guild=where, channel=message.channel))

    # threads ----------------------------------------------------------------------------------

    def start_thread(self, user: User, message: Message, name: str) -> Channel:
        """Start a thread from a message. It has the message's id, and a message has at most one
        thread. Raises DiscordError.
        """
        channel = message.channel
        self._hub.require(channel, user, Permission.CREATE_PUBLIC_THREADS)
        guild = self._where(message)
        if guild is None:
            raise errors.MISSING_ACCESS
        if message.thread is not None:
            raise errors.THREAD_EXISTS
        thread = Channel(
            message.id, name, PUBLIC_THREAD, guild.id, parent_id=channel.id, owner_id=user.id
        )
        guild.channels[thread.id] = message.thread = thread
        body = {**serializers.channel(thread), "newly_created": True}
        self._hub.tell(Event("THREAD_CREATE", lambda _: body, guild=guild, channel=thread))
        return thread

    def archive(self, thread: Channel, *, archived: bool, locked: bool) -> None:
        """Archive or lock a thread as a moderator does, or unarchive it for a new message."""
        thread.archived, thread.locked = archived, locked
        guild = self._hub.world.guild_of(thread)
        body = serializers.channel(thread)
        self._hub.tell(Event("THREAD_UPDATE", lambda _: body, guild=guild, channel=thread))

    # events -----------------------------------------------------------------------------------

    def tell(self, name: str, message: Message) -> None:
        """Notify everyone who sees a message."""
        guild = self._where(message)
        writer = guild.members.get(message.author.id) if guild else None

        def payload(listener: Listener) -> Json:
            found = self.shown(message, listener)
            if guild is not None:
                found["guild_id"] = str(guild.id)
                if writer is not None:
                    about = serializers.member(writer)
                    found["member"] = {k: v for k, v in about.items() if k != "user"}
            return found

        self._hub.tell(
            Event(
                name,
                payload,
                guild=guild,
                channel=message.channel,
                users=self._only(message),
            )
        )

    def shown(self, message: Message, to: Listener) -> Json:
        """A message as a listener receives it. A bot without the message content intent reads only
        its own messages, DMs, and messages that mention it.
        """
        private = message.channel.guild_id is None
        meant = message.author is to.user or private or to.user in message.mentions
        blank = not (to.reads or meant)
        return serializers.message(message, self._hub.link, viewer=to.user.id, blank=blank)

    def _where(self, message: Message) -> Guild | None:
        return self._where_of(message.channel)

    def _where_of(self, channel: Channel) -> Guild | None:
        return self._hub.world.guild_of(channel)

    def _only(self, message: Message) -> set[int] | None:
        # an ephemeral message goes only to the user; the bot gets it as the answer to its request
        return None if message.for_user is None else {message.for_user}
