SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.commands (
    application_id bigint NOT NULL,
    digest text NOT NULL
);
CREATE TABLE public.limits (
    guild_id bigint NOT NULL,
    route text NOT NULL,
    most_bytes bigint NOT NULL,
    learnt timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.links (
    id text NOT NULL,
    job text NOT NULL,
    sha256 text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    bytes bigint NOT NULL,
    expires timestamp with time zone NOT NULL,
    revoked boolean DEFAULT false NOT NULL
);
CREATE TABLE public.passes (
    job text NOT NULL,
    token bytea NOT NULL,
    most_bytes bigint NOT NULL,
    expires timestamp with time zone NOT NULL
);
CREATE TABLE public.requests (
    id bigint NOT NULL,
    job text NOT NULL,
    guild_id bigint NOT NULL,
    channel_id bigint NOT NULL,
    requester_id bigint NOT NULL,
    url text NOT NULL,
    asked timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE public.requests ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.requests_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.steps (
    number integer NOT NULL
);
INSERT INTO public.commands VALUES (5, 'digest-of-commands');
INSERT INTO public.limits VALUES (7, 'bot', 25000000, '2026-11-30 22:52:10.097961+00');
INSERT INTO public.links VALUES ('m0oYDKm_OoMnkB2AZy09SdkM', 'd-1', '0000000000000000000000000000000000000000000000000000000000000000', 'clip.mp4', 'video/mp4', 5, '2076-11-17 22:52:10.099051+00', false);
INSERT INTO public.passes VALUES ('d-1', '\x67414141414142724466346152686c3859665a585672445f566c30444f6871797a34732d4d634c4563796e72464177766e486a5a6970683933727a3664494e5652507a4a377967592d6472653832482d6b436b50664b4276586f736c6c316b394b773d3d', 10000000, '2100-01-01 00:00:00+00');
INSERT INTO public.requests OVERRIDING SYSTEM VALUE VALUES (1, 'd-1', 7, 8, 9, 'https://example.com/a', '2026-11-30 22:52:10.095142+00');
INSERT INTO public.requests OVERRIDING SYSTEM VALUE VALUES (2, 'd-2', 7, 8, 9, 'https://example.com/b', '2026-11-30 22:52:10.096681+00');
INSERT INTO public.steps VALUES (1);
SELECT pg_catalog.setval('public.requests_id_seq', 2, true);
ALTER TABLE ONLY public.commands
    ADD CONSTRAINT commands_pkey PRIMARY KEY (application_id);
ALTER TABLE ONLY public.limits
    ADD CONSTRAINT limits_pkey PRIMARY KEY (guild_id, route);
ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_job_sha256_name_key UNIQUE (job, sha256, name);
ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.passes
    ADD CONSTRAINT passes_pkey PRIMARY KEY (job);
ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_job_key UNIQUE (job);
ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.steps
    ADD CONSTRAINT steps_pkey PRIMARY KEY (number);
CREATE INDEX requests_of_person ON public.requests USING btree (requester_id, guild_id, asked DESC);
